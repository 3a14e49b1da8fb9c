"""Every move of the table, over both databases.

From each of its states it does what the table says; from any other state, with another token or by another worker it
does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from horae.domain import transitions as t
from horae.domain.errors import IllegalMove, StaleVersion
from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, MAX_LOSSES, Attempt, Job, Reference, State
from horae.domain.transitions import TABLE, Move, Wake
from horae.store.base import Edit, Retention
from tests.support.factories import LEASE
from tests.support.scene import BROKEN, Scene, Sight, with_token

Prepare = Callable[[Scene, Reference], Awaitable[None]]
Act = Callable[[Scene, Reference, WorkerId], Awaitable[object]]


@dataclass(frozen=True)
class Way:
    """How a move is made: what must be so before, who asks the store for it, and what it is guarded by."""

    act: Act
    prepare: Prepare | None = None
    by_token: bool = False
    by_worker: bool = False
    fields: tuple[tuple[str, object], ...] = ()


async def nothing(scene: Scene, reference: Reference) -> None:
    """No preparation."""


# ------------------------------------------------------------------------------------------------------------- ways


async def claim(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.claim()


async def take_back(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.dispatch.take_back([reference])


async def start(scene: Scene, reference: Reference, worker: WorkerId) -> None:
    await scene.start(reference, worker=worker)


async def give_back(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.worker.give_back([reference])


def finish(move: Move) -> Act:
    async def act(scene: Scene, reference: Reference, worker: WorkerId) -> None:
        error = BROKEN if move.counts else None
        await scene.finish(reference, move, worker, error=error, delay=3.0 if move.wake is Wake.CARRIED else 0.0)

    return act


async def cancel(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.jobs.cancel("default", [reference.id])


async def ask_cancel(scene: Scene, reference: Reference) -> None:
    await scene.stores.jobs.cancel("default", [reference.id])


async def rescue_handovers(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.rescue.rescue_handovers(100)


async def rescue_attempts(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.rescue.rescue_attempts(100)


async def lose_the_worker(scene: Scene, reference: Reference) -> None:
    await scene.kill()


async def cancel_and_lose_the_worker(scene: Scene, reference: Reference) -> None:
    await ask_cancel(scene, reference)
    await scene.kill()


async def lose_all_but_one_time(scene: Scene, reference: Reference) -> None:
    """Losses before the last one; the run goes on under a new token, which the test reads again."""
    job = await scene.job(reference.id)
    if job.state is State.RUNNING:
        for _ in range(MAX_LOSSES - 1):
            await scene.lose(Reference(job.id, (await scene.job(job.id)).token))
            await scene.again(job.id)
    await scene.kill()


async def outlast_the_timeout(scene: Scene, reference: Reference) -> None:
    await scene.turn(10 + 2 * LEASE)


async def outlast_the_hand_over(scene: Scene, reference: Reference) -> None:
    await scene.turn(LEASE)


async def retry_by_hand(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.jobs.retry("default", [reference.id])


async def edit(scene: Scene, reference: Reference, _: WorkerId) -> None:
    try:
        await scene.stores.jobs.edit("default", reference.id, reference.token, Edit({"payload": '{"b": 2}'}))
    except (IllegalMove, StaleVersion):
        return


async def prune(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.rescue.prune(Retention(timedelta(0), timedelta(0)), 100)


async def a_moment_later(scene: Scene, reference: Reference) -> None:
    await scene.turn(1)


async def delete(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.jobs.delete("default", [reference.id])


async def expire(scene: Scene, reference: Reference, _: WorkerId) -> None:
    await scene.stores.rescue.expire(100)


async def outlast_the_expiry(scene: Scene, reference: Reference) -> None:
    await scene.turn(60)


async def progress(scene: Scene, reference: Reference, worker: WorkerId) -> None:
    await scene.stores.worker.progress(worker, reference, {"value": 0.5})


def ends(move: Move) -> Way:
    """The way of the moves that a worker makes with its own run."""
    return Way(finish(move), by_token=True, by_worker=True)


LATE = (("timeout_seconds", 10.0),)
EXPIRES = (("expires_in", 60.0),)

WAYS: dict[Move, Way] = {
    t.CLAIM: Way(claim),
    t.TAKE_BACK: Way(take_back, by_token=True),
    t.START: Way(start, by_token=True),
    t.GIVE_BACK: Way(give_back, by_token=True),
    t.SUCCEED: ends(t.SUCCEED),
    t.FAIL: ends(t.FAIL),
    t.FAIL_FOR_GOOD: ends(t.FAIL_FOR_GOOD),
    t.RETRY_ASKED: ends(t.RETRY_ASKED),
    t.CANCEL: Way(cancel),
    t.ASK_CANCEL: Way(cancel),
    t.CANCEL_RUNNING: ends(t.CANCEL_RUNNING),
    t.RESCUE_HANDOVER: Way(rescue_handovers, outlast_the_hand_over),
    t.RESCUE_LOST: Way(rescue_attempts, lose_the_worker),
    t.RESCUE_LOST_FOR_GOOD: Way(rescue_attempts, lose_all_but_one_time),
    t.RESCUE_LATE: Way(rescue_attempts, outlast_the_timeout, fields=LATE),
    t.RESCUE_LATE_FOR_GOOD: Way(rescue_attempts, outlast_the_timeout, fields=(*LATE, ("max_retries", 0))),
    t.RESCUE_CANCELLED: Way(rescue_attempts, cancel_and_lose_the_worker),
    t.RELEASE: ends(t.RELEASE),
    t.RETRY_BY_HAND: Way(retry_by_hand),
    t.EDIT: Way(edit, by_token=True),
    t.PRUNE: Way(prune, a_moment_later),
    t.EXPIRE: Way(expire, outlast_the_expiry, fields=EXPIRES),
    t.PROGRESS: Way(progress, by_token=True, by_worker=True),
}

TOGETHER = [{t.CANCEL, t.ASK_CANCEL}]
"""moves that one call makes, each for the states that it is for"""


def effective_sources(move: Move) -> frozenset[State]:
    """The states in which the way of this move changes anything."""
    partners = next((group for group in TOGETHER if move in group), {move})
    return frozenset().union(*(partner.sources for partner in partners))


def title(move: Move) -> str:
    return f"{move.row}-{move.name.replace(' ', '-')}"


LEGAL = [(move, state) for move in WAYS for state in State if state in move.sources]
ILLEGAL = [(move, state) for move in WAYS for state in State if state not in effective_sources(move)]
GUARDED = [(move, state) for move, state in LEGAL if WAYS[move].by_token]
OWNED = [(move, state) for move, state in LEGAL if WAYS[move].by_worker]


def cases(pairs: list[tuple[Move, State]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("move", "state"), [pytest.param(*pair, id=f"{title(pair[0])}-{pair[1]}") for pair in pairs]
    )


def test_every_move_but_the_first_two_has_a_way() -> None:
    assert set(TABLE) - set(WAYS) == {t.SUBMIT, t.FIRE}


# ------------------------------------------------------------------------------------------------------------ tests


async def arrange(scene: Scene, move: Move, state: State) -> Reference:
    """A job in that state, everything prepared for the move; with its current token."""
    fields = dict(WAYS[move].fields)
    expires_in = fields.pop("expires_in", None)
    if isinstance(expires_in, float):
        fields["expires_at"] = scene.at(expires_in)
    reference = await scene.reach(state, **fields)
    await (WAYS[move].prepare or nothing)(scene, reference)
    return Reference(reference.id, (await scene.job(reference.id)).token)


@cases(LEGAL)
async def test_it_does_what_the_table_says(scene: Scene, move: Move, state: State) -> None:
    reference = await arrange(scene, move, state)
    before = await scene.see(reference.id)
    await WAYS[move].act(scene, reference, scene.worker)
    after = await scene.see(reference.id)
    assert before.job is not None
    if move is t.PRUNE:
        assert after == Sight(None, ())
        return
    assert after.job is not None
    assert_state(move, before.job, after.job)
    assert_counters(move, before.job, after.job)
    assert_wake(move, scene, after.job)
    assert_attempt(move, before, after)


def assert_state(move: Move, before: Job, after: Job) -> None:
    assert after.state is (move.target or before.state)
    assert (after.finished_at is not None) is (after.state in FINAL)


def assert_counters(move: Move, before: Job, after: Job) -> None:
    assert after.token == before.token + move.rises
    assert after.attempt == before.attempt + move.starts
    if move is not t.RETRY_BY_HAND:
        assert after.failures == before.failures + move.counts
        assert after.round == before.round


def assert_wake(move: Move, scene: Scene, job: Job) -> None:
    expected = {
        Wake.RUN_AT: job.run_at,
        Wake.DISPATCH_LEASE: scene.at(LEASE),
        Wake.SOON: scene.at(1),
        Wake.RUN_LEASE: scene.at(job.timeout_seconds + 2 * LEASE),
        Wake.CARRIED: scene.at(3),
        Wake.NEVER: None,
        Wake.KEEP: job.wake_at,
    }
    assert job.wake_at == expected[move.wake]
    assert move.wake is not Wake.CARRIED or job.run_at == scene.at(3)


def assert_attempt(move: Move, before: Sight, after: Sight) -> None:
    fresh = after.attempts[len(before.attempts) :]
    if move is t.RETRY_BY_HAND or move.outcome is None:
        assert not fresh
        return
    assert before.job is not None
    assert after.attempts[: len(before.attempts)] == before.attempts
    assert [replace(attempt, error=None, finished_at=attempt.started_at) for attempt in fresh] == [
        Attempt(
            attempt=before.job.attempt,
            outcome=move.outcome,
            worker_id=before.job.worker_id,
            started_at=fresh[0].started_at,
            finished_at=fresh[0].started_at,
            error=None,
        )
    ]


@cases(ILLEGAL)
async def test_it_does_nothing_from_any_other_state(scene: Scene, move: Move, state: State) -> None:
    reference = await arrange(scene, move, state)
    before = await scene.see(reference.id)
    await WAYS[move].act(scene, reference, scene.worker)
    assert await scene.see(reference.id) == before


@cases(GUARDED)
@pytest.mark.parametrize("rise", [-1, 1])
async def test_it_does_nothing_with_another_token(scene: Scene, move: Move, state: State, rise: int) -> None:
    reference = await arrange(scene, move, state)
    before = await scene.see(reference.id)
    await WAYS[move].act(scene, with_token(reference, rise), scene.worker)
    assert await scene.see(reference.id) == before


@cases(OWNED)
async def test_it_does_nothing_by_another_worker(scene: Scene, move: Move, state: State) -> None:
    reference = await arrange(scene, move, state)
    other = await scene.new_worker()
    before = await scene.see(reference.id)
    await WAYS[move].act(scene, reference, other)
    assert await scene.see(reference.id) == before


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_delete_by_hand_takes_final_jobs(scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    assert await scene.stores.jobs.delete("default", [reference.id]) == {reference.id}
    assert await scene.see(reference.id) == Sight(None, ())


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
async def test_delete_by_hand_takes_no_other_job(scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    before = await scene.see(reference.id)
    assert await scene.stores.jobs.delete("default", [reference.id]) == frozenset()
    assert await scene.see(reference.id) == before
