"""Random moves by users, schedulers, workers and faults, and what must hold after each of them: rules S1 to S7.

    S1  a round has one final outcome, and only a retry by hand begins another
    S2  a write with a stale token or by another worker is refused
    S4  no attempt has two ends or two numbers; FAILED has its reason
    S5  tokens rise by one with each hand-over and never fall
    S7  a row that isn't final has a deadline

Every reference that was ever given out, and every worker that ever lived, stays in play: most of what is tried here is
stale and must change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from horae.domain import transitions as t
from horae.domain.errors import IllegalMove, StaleVersion
from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, Failure, Lane, Outcome, Priority, Reference, State
from horae.domain.transitions import Move
from horae.store.base import Edit, Finish, Finished, Retention
from horae.store.sql import Stores
from horae.store.tables import attempts, jobs
from tests.support.clock import ManualClock
from tests.support.factories import LEASE, new_job, new_worker
from tests.support.scene import HANDLERS, NAMESPACE

R = TypeVar("R")
Row = sa.Row[Any]

QUEUES = ("default", "mail")
SECOND = timedelta(seconds=1)
GAVE_UP = Failure("GaveUp", "the handler said so")
REASONS = ("GaveUp", "lost", "timed_out", "expired")
ENDS = (t.SUCCEED, t.FAIL, t.FAIL_FOR_GOOD, t.RETRY_ASKED, t.CANCEL_RUNNING, t.RELEASE)
RESCUES = (t.RESCUE_LOST, t.RESCUE_LOST_FOR_GOOD, t.RESCUE_LATE, t.RESCUE_LATE_FOR_GOOD, t.RESCUE_CANCELLED)
YIELDING = (t.FAIL, t.RETRY_ASKED, t.RELEASE)

few = st.integers(1, 3)
queue = st.sampled_from(QUEUES)
pick = st.integers(0, 11)
"""counted from the latest, so that most of what is picked is still of interest"""
picks = st.lists(pick, min_size=1, max_size=4, unique=True)
who = st.integers(0, 2)
moves = st.lists(st.sampled_from(ENDS), min_size=6, max_size=6)


@dataclass(frozen=True)
class Snapshot:
    """Every job and ended attempt, as the database has them."""

    jobs: dict[str, Row]
    attempts: frozenset[tuple[Any, ...]]


def is_move(move: Move, old: Row | None, new: Row | None) -> bool:
    """Whether the move explains what became of the row."""
    if old is None:
        return new is not None and move in (t.SUBMIT, t.FIRE) and (new.state, new.token) == (State.PENDING, 0)
    if new is None:
        return move is t.PRUNE and old.state in move.sources
    return (
        old.state in move.sources
        and new.state == (move.target or old.state)
        and new.token == old.token + move.rises
        and new.attempt == old.attempt + move.starts
        and new.failures == (0 if move is t.RETRY_BY_HAND else old.failures + move.counts)
        and new.round == old.round + (move is t.RETRY_BY_HAND)
    )


def finish_of(reference: Reference, move: Move, *, carried: bool) -> Finish:
    """The end of a run by that move."""
    error = GAVE_UP if move in (t.FAIL, t.FAIL_FOR_GOOD) else None
    return Finish(reference, move, move.outcome or Outcome.FAILED, error=error, delay=2.0, carried=carried)


class StoreMachine(RuleBasedStateMachine):
    """One store, two queues, a handful of workers of which some are dead."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.stores = self.wait(self.open())
        self.workers: list[WorkerId] = []
        self.ids: list[str] = []
        self.references: list[Reference] = []
        self.last = self.wait(self._snapshot())

    async def open(self) -> Stores:
        """Empty stores that take their time from the machine's clock."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.wait(self.stores.close())
        self.loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(coroutine)

    def picked(self, numbers: Sequence[int]) -> list[Reference]:
        """References, stale ones among them."""
        return [self.references[-1 - number] for number in numbers if number < len(self.references)]

    def worker(self, number: int) -> WorkerId:
        """A worker, perhaps a dead one."""
        return self.workers[-1 - number % len(self.workers)]

    def any(self, *states: State) -> bool:
        """Whether a job is in one of these states."""
        return any(row.state in states for row in self.last.jobs.values())

    # ----------------------------------------------------------------------------------------------------- the judge

    async def _snapshot(self) -> Snapshot:
        async with self.stores.database.engine.connect() as connection:
            found = (await connection.execute(sa.select(jobs))).all()
            ended = (await connection.execute(sa.select(attempts))).all()
        return Snapshot({row.id: row for row in found}, frozenset(tuple(row) for row in ended))

    def judge(self, *moves: Move, only: Collection[str | Reference] | None = None, by: WorkerId | None = None) -> None:
        """What has changed since the last look, changed by one of these moves.

        `only` names the jobs or the references that the caller may have changed, `by` the worker that ran them.
        """
        before, self.last = self.last, self.wait(self._snapshot())
        for id_ in before.jobs.keys() | self.last.jobs.keys():
            old, new = before.jobs.get(id_), self.last.jobs.get(id_)
            if old == new:
                continue
            assert any(is_move(move, old, new) for move in moves), f"no such move: {old} -> {new}"
            if only is not None:
                assert old is not None, f"a job out of nothing: {new}"
                assert old.id in only or Reference(old.id, old.token) in only, f"S2: not theirs: {old} -> {new}"
            if by is not None:
                assert old is not None, f"a job out of nothing: {new}"
                assert old.worker_id == by, f"S2: a stranger's run: {old} -> {new}"
        self._judge_attempts(before)

    def _judge_attempts(self, before: Snapshot) -> None:
        for changed in before.attempts - self.last.attempts:
            assert changed[0] not in self.last.jobs, f"S4: an ended attempt was changed: {changed}"
        for ended in self.last.attempts - before.attempts:
            assert before.jobs[ended[0]].state == State.RUNNING, f"S4: it wasn't running: {ended}"

    @invariant()
    def every_row_makes_sense(self) -> None:
        for row in self.last.jobs.values():
            assert (row.wake_at is None) is (row.state in FINAL), f"S7: {row}"
            assert (row.finished_at is None) is (row.state not in FINAL), f"{row}"
            assert row.state != State.RUNNING or (row.worker_id and row.attempt and row.first_started_at), f"{row}"
            assert row.token >= row.attempt, f"S5: two starts by one token: {row}"
            assert row.state != State.FAILED or any(reason in row.error for reason in REASONS), f"S4: {row}"

    @invariant()
    def every_start_has_one_end(self) -> None:
        ended: dict[str, list[int]] = {id_: [] for id_ in self.last.jobs}
        for id_, number, *_ in self.last.attempts:
            ended[id_].append(number)
        for id_, numbers in ended.items():
            row = self.last.jobs[id_]
            without_row = 1 if row.state in (State.RUNNING, State.SUCCESS) else 0
            assert sorted(numbers) == list(range(1, row.attempt + 1 - without_row)), f"S4: {numbers} {row}"

    # --------------------------------------------------------------------------------------------------------- users

    @rule(
        count=few,
        queue=queue,
        delay=st.sampled_from([0.0, 0.0, 7.0]),
        max_retries=st.sampled_from([0, 1, 3]),
        expires=st.sampled_from([None, None, 20]),
    )
    def submit(self, count: int, queue: str, delay: float, max_retries: int, expires: int | None) -> None:
        fields: dict[str, Any] = {"queue": queue, "delay_seconds": delay, "max_retries": max_retries}
        fields["expires_at"] = None if expires is None else self.clock.now() + expires * SECOND
        new = [new_job(self.clock, timeout_seconds=10.0, **fields) for _ in range(count)]
        made = self.wait(self.stores.jobs.submit(NAMESPACE, new)).ids
        self.judge(t.SUBMIT)
        assert set(made) <= set(self.last.jobs)
        self.ids += made

    @precondition(lambda self: self.ids)
    @rule(numbers=picks)
    def cancel(self, numbers: list[int]) -> None:
        chosen = [self.ids[-1 - number % len(self.ids)] for number in numbers]
        states = {id_: self.last.jobs[id_].state for id_ in chosen if id_ in self.last.jobs}
        answer = self.wait(self.stores.jobs.cancel(NAMESPACE, chosen))
        self.judge(t.CANCEL, t.ASK_CANCEL, only=chosen)
        assert answer == {id_ for id_, state in states.items() if state not in (State.SUCCESS, State.FAILED)}

    @precondition(lambda self: self.ids)
    @rule(numbers=picks)
    def retry(self, numbers: list[int]) -> None:
        chosen = [self.ids[-1 - number % len(self.ids)] for number in numbers]
        answer = self.wait(self.stores.jobs.retry(NAMESPACE, chosen))
        self.judge(t.RETRY_BY_HAND, only=chosen)
        assert all(self.last.jobs[id_].state == State.PENDING for id_ in answer)

    @precondition(lambda self: self.last.jobs)
    @rule(number=pick, rise=st.sampled_from([-1, 0, 0]))
    def edit(self, number: int, rise: int) -> None:
        row = sorted(self.last.jobs.values(), key=lambda row: str(row.id))[-1 - number % len(self.last.jobs)]
        edit = Edit({"priority": Priority.NORMAL, "delay_seconds": 1.0})
        legal = row.state == State.PENDING and rise == 0
        try:
            self.wait(self.stores.jobs.edit(NAMESPACE, row.id, row.token + rise, edit))
        except (IllegalMove, StaleVersion):
            assert not legal
        else:
            assert legal
        self.judge(t.EDIT, only=[row.id])

    @precondition(lambda self: self.ids)
    @rule(number=pick)
    def delete(self, number: int) -> None:
        chosen = self.ids[-1 - number % len(self.ids)]
        self.wait(self.stores.jobs.delete(NAMESPACE, [chosen]))
        self.judge(t.PRUNE, only=[chosen])

    @rule(queue=queue, paused=st.booleans())
    def pause_or_resume(self, queue: str, paused: bool) -> None:
        queues = self.stores.queues
        self.wait(queues.pause(NAMESPACE, queue, "ann") if paused else queues.resume(NAMESPACE, queue))
        self.judge()

    # ---------------------------------------------------------------------------------------------------- schedulers

    @rule(queue=queue, limit=few)
    def claim(self, queue: str, limit: int) -> None:
        claimed = self.wait(self.stores.dispatch.claim(Lane(NAMESPACE, queue, Priority.NORMAL), limit, LEASE))
        self.judge(t.CLAIM)
        for reference in claimed:
            row = self.last.jobs[reference.id]
            assert (row.token, row.state, row.queue) == (reference.token, State.QUEUED, queue)
        self.references += claimed

    @precondition(lambda self: self.references)
    @rule(numbers=picks)
    def take_back(self, numbers: list[int]) -> None:
        chosen = self.picked(numbers)
        self.wait(self.stores.dispatch.take_back(chosen))
        self.judge(t.TAKE_BACK, only=chosen)

    @precondition(lambda self: self.any(State.QUEUED))
    @rule(limit=few)
    def rescue_handovers(self, limit: int) -> None:
        self.wait(self.stores.rescue.rescue_handovers(limit))
        self.judge(t.RESCUE_HANDOVER)

    @precondition(lambda self: self.any(State.RUNNING))
    @rule(limit=st.integers(1, 10))
    def rescue_attempts(self, limit: int) -> None:
        before, live = self.last.jobs, self._live()
        rescued = self.wait(self.stores.rescue.rescue_attempts(limit))
        self.judge(*RESCUES)
        changed = [row for id_, row in before.items() if self.last.jobs[id_] != row]
        assert len(changed) == sum(rescued.values()) <= limit
        for row in changed:
            assert row.worker_id not in live or row.wake_at <= self.clock.now(), f"E1: it was well: {row}"

    @rule(limit=few)
    def expire(self, limit: int) -> None:
        self.wait(self.stores.rescue.expire(limit))
        self.judge(t.EXPIRE)

    @precondition(lambda self: self.any(*FINAL))
    @rule(limit=few)
    def prune(self, limit: int) -> None:
        self.wait(self.stores.rescue.prune(Retention(30 * SECOND, 30 * SECOND), limit))
        self.judge(t.PRUNE)

    # ------------------------------------------------------------------------------------------------------- workers

    def _live(self) -> set[WorkerId]:
        return {info.id for info in self.wait(self.stores.registry.workers()) if info.state != "DEAD"}

    @rule(who=who, count=few, queue=queue)
    def new_jobs_run(self, who: int, count: int, queue: str) -> None:
        """The usual way, in one step: what may become of a run is tried as often as what comes before it."""
        self.submit(count=count, queue=queue, delay=0.0, max_retries=1, expires=None)
        self.claim(queue=queue, limit=10)
        if self.references:
            self.start(who=who, numbers=list(range(count)))

    @precondition(lambda self: self.references)
    @rule(who=who, numbers=picks)
    def start(self, who: int, numbers: list[int]) -> None:
        mine, chosen = self.worker(who), self.picked(numbers)
        before, alive = self.last.jobs, mine in self._live()
        starts = self.wait(self.stores.worker.start(mine, chosen, HANDLERS, LEASE))
        self.judge(t.START, only=chosen)
        for run in starts.started:
            row = self.last.jobs[run.id]
            assert alive, f"a dead worker was told to run {row}"
            assert (row.state, row.worker_id, row.token) == (State.RUNNING, mine, run.token)
        for reference in starts.refused:
            assert before[reference.id].token == reference.token
            assert before[reference.id].state in t.START.sources
        assert starts.alive or not alive

    @precondition(lambda self: self.references)
    @rule(numbers=picks, delay=st.sampled_from([0.0, 5.0]))
    def give_back(self, numbers: list[int], delay: float) -> None:
        chosen = self.picked(numbers)
        self.wait(self.stores.worker.give_back(chosen, delay))
        self.judge(t.GIVE_BACK, only=chosen)

    @precondition(lambda self: self.any(State.RUNNING))
    @rule(number=pick, strange=st.lists(pick, max_size=2, unique=True), moves=moves, carried=st.booleans())
    def finish(self, number: int, strange: list[int], moves: list[Move], carried: bool) -> None:
        """A worker ends what it runs, and whatever else it takes for its own."""
        runs = [row for row in self.last.jobs.values() if row.state == State.RUNNING]
        mine = runs[number % len(runs)].worker_id
        chosen = [Reference(row.id, row.token) for row in runs if row.worker_id == mine]
        chosen += [reference for reference in self.picked(strange) if reference not in chosen]
        self._finish(mine, [finish_of(*pair, carried=carried) for pair in zip(chosen, moves, strict=False)])

    @precondition(lambda self: self.references)
    @rule(who=who, numbers=picks, moves=moves)
    def finish_strangely(self, who: int, numbers: list[int], moves: list[Move]) -> None:
        chosen = self.picked(numbers)
        pairs = zip(chosen, moves, strict=False)
        self._finish(self.worker(who), [finish_of(*pair, carried=False) for pair in pairs])

    def _finish(self, by: WorkerId, finishes: list[Finish]) -> None:
        before = self.last.jobs
        answers = self.wait(self.stores.worker.finish(by, finishes))
        self.judge(*ENDS, only=[finish.reference for finish in finishes], by=by)
        for finish, answer in zip(finishes, answers, strict=True):
            self._judge_answer(finish, answer, before.get(finish.reference.id), by)
            if answer.state is State.RETRYING:
                self.references.append(Reference(answer.reference.id, answer.token))

    def _judge_answer(self, finish: Finish, answer: Finished, before: Row | None, by: WorkerId) -> None:
        held = before is not None and (before.token, before.worker_id) == (finish.reference.token, by)
        if before is None or not held:
            assert answer.state is None, f"S2: {finish} of {before}"
        elif before.state != State.RUNNING:
            assert answer.state is None or answer.state == before.state == State.SUCCESS, f"S1: {finish} of {before}"
        elif before.cancel_requested and finish.move in YIELDING:
            assert answer.state is State.CANCELLED, f"L2: {finish} of {before}"
        else:
            assert answer.state is finish.move.target, f"{finish} of {before}"
            assert answer.token == self.last.jobs[before.id].token

    @precondition(lambda self: self.any(State.RUNNING))
    @rule(who=who, number=pick)
    def progress(self, who: int, number: int) -> None:
        mine, chosen = self.worker(who), self.picked([number])
        for reference in chosen:
            self.wait(self.stores.worker.progress(mine, reference, {"value": 0.5}))
        self.judge(t.PROGRESS, only=chosen, by=mine)

    # -------------------------------------------------------------------------------------------------------- faults

    @initialize()
    def two_workers_come(self) -> None:
        for _ in range(2):
            self.a_worker_comes()

    @rule()
    def a_worker_comes(self) -> None:
        worker = new_worker(self.clock, queues=QUEUES)
        self.wait(self.stores.registry.register(worker, LEASE))
        self.workers.append(worker.id)
        self.judge()

    @rule(who=who)
    def a_worker_vanishes(self, who: int) -> None:
        self.wait(self.stores.registry.retire(self.worker(who)))
        self.judge()

    @rule(seconds=st.sampled_from([0.001, 1.0, 4.0, 14.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.turn(seconds)
        for worker in self.workers:
            self.wait(self.stores.registry.renew(worker, LEASE, {}, draining=False))

    @rule(who=who)
    def all_workers_but_one_oversleep(self, who: int) -> None:
        self.clock.turn(LEASE / 2)
        self.wait(self.stores.registry.renew(self.worker(who), LEASE, {}, draining=False))
        self.clock.turn(LEASE / 2)
