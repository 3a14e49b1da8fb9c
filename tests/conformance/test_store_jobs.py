"""Reading, cancelling, retrying, editing and deleting jobs, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from horae.domain.errors import IllegalMove, NotFound, StaleVersion
from horae.domain.job import Job, Outcome, Priority, State
from horae.domain.retry import Backoff
from horae.domain.transitions import CANCEL_RUNNING, FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED, SUCCEED, Move
from horae.store.base import Edit, JobFilter
from horae.store.sql import Stores
from tests.support.clock import START, ManualClock
from tests.support.factories import job_id, new_job
from tests.support.scene import BROKEN, EVERYTHING, Scene


def text(words: str) -> JobFilter:
    return JobFilter(text=words)


# ------------------------------------------------------------------------------------------------------- namespaces


async def test_no_call_reaches_into_another_namespace(scene: Scene) -> None:
    waiting, final = await scene.submit("theirs"), await scene.submit("theirs", tags=("red",))
    await scene.stores.jobs.cancel("theirs", [final])
    before = [await scene.see(job, "theirs") for job in (waiting, final)]
    jobs, both = scene.stores.jobs, [waiting, final]
    assert await jobs.get("ours", waiting) is None
    assert await jobs.attempts("ours", waiting) == []
    assert await jobs.cancel("ours", both) == frozenset()
    assert await jobs.retry("ours", both) == frozenset()
    assert await jobs.delete("ours", both) == frozenset()
    with pytest.raises(NotFound):
        await jobs.edit("ours", waiting, 0, Edit({"payload": "{}"}))
    searches = [text(words) for words in (waiting, "noop", "red")]
    for where in (EVERYTHING, *searches, JobFilter(tag="red"), JobFilter(queue="default")):
        assert await scene.ids(where, namespace="ours") == []
        assert await jobs.count("ours", where) == 0
    assert set((await jobs.counts("ours")).values()) == {0}
    assert [await scene.see(job, "theirs") for job in (waiting, final)] == before


async def test_an_error_is_searched_in_its_namespace_only(scene: Scene) -> None:
    job = await scene.submit("theirs")
    claimed = await scene.claim(namespace="theirs")
    await scene.start(*claimed)
    await scene.finish(claimed[0], FAIL_FOR_GOOD, error=BROKEN)
    assert await scene.ids(text("broken"), namespace="theirs") == [job]
    assert await scene.ids(text("broken"), namespace="ours") == []


async def test_attempts_stay_in_their_namespace(scene: Scene) -> None:
    job = await scene.submit("theirs")
    claimed = await scene.claim(namespace="theirs")
    await scene.start(*claimed)
    await scene.finish(claimed[0], FAIL, error=BROKEN)
    assert len(await scene.stores.jobs.attempts("theirs", job)) == 1
    assert await scene.stores.jobs.attempts("ours", job) == []


async def test_counts_tell_every_state(scene: Scene) -> None:
    await scene.submit()
    await scene.submit()
    await scene.reach(State.RUNNING, queue="other")
    found = await scene.stores.jobs.counts("default")
    assert found == {**dict.fromkeys(State, 0), State.PENDING: 2, State.RUNNING: 1}


# --------------------------------------------------------------------------------------------------------- attempts


async def test_attempts_are_told_oldest_first_the_successful_one_too(scene: Scene) -> None:
    run = await scene.run()
    job = run.id
    scene.clock.turn(1)
    await scene.finish(run.reference, FAIL, error=BROKEN)
    run = await scene.again(job)
    await scene.finish(run.reference, FAIL, outcome=Outcome.TIMED_OUT, error=BROKEN)
    run = await scene.again(job)
    await scene.finish(run.reference, RETRY_ASKED)
    run = await scene.again(job)
    await scene.finish(run.reference, RELEASE)
    run = await scene.again(job)
    await scene.lose(run.reference)
    run = await scene.again(job)
    scene.clock.turn(2)
    await scene.finish(run.reference, SUCCEED)
    found = await scene.stores.jobs.attempts("default", job)
    outcomes = ["failed", "timed_out", "retried", "released", "lost", "success"]
    assert [(attempt.attempt, attempt.outcome) for attempt in found] == list(enumerate(outcomes, 1))
    assert (found[0].started_at, found[0].finished_at) == (START, START + timedelta(seconds=1))
    assert [attempt.error for attempt in found[:2]] == [BROKEN, BROKEN]
    assert found[5].finished_at - found[5].started_at == timedelta(seconds=2)
    assert found[5].worker_id == scene.worker


async def test_a_job_that_never_ran_has_no_attempts(scene: Scene) -> None:
    cancelled = await scene.reach(State.CANCELLED)
    assert await scene.stores.jobs.attempts("default", cancelled.id) == []
    assert await scene.stores.jobs.attempts("default", job_id(scene.clock)) == []


# ----------------------------------------------------------------------------------------------------------- cancel


async def test_cancel_answers_what_is_cancelled_or_asked_to_be(scene: Scene) -> None:
    made = {state: (await scene.reach(state, queue="other")).id for state in State if state is not State.RUNNING}
    running = (await scene.reach(State.RUNNING)).id
    unknown = job_id(scene.clock)
    answer = await scene.stores.jobs.cancel("default", [*made.values(), running, unknown])
    assert answer == {running, *(made[state] for state in made if state not in (State.SUCCESS, State.FAILED))}


async def test_cancel_asks_a_running_job_and_only_once(scene: Scene) -> None:
    run = await scene.run()
    for _ in range(2):
        assert await scene.stores.jobs.cancel("default", [run.id]) == {run.id}
        job = await scene.job(run.id)
        assert (job.state, job.cancel_requested, job.token) == (State.RUNNING, True, run.token)
    assert await scene.stores.worker.cancel_requests(scene.worker) == [run.reference]


async def test_a_cancel_that_is_applied_late_spares_the_next_round(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await scene.run()
    database = scene.stores.database
    transact = database.transact

    async def meanwhile(work: Any) -> Any:
        monkeypatch.undo()
        await scene.finish(run.reference, FAIL_FOR_GOOD, error=BROKEN)
        await scene.stores.jobs.retry("default", [run.id])
        await scene.again(run.id)
        return await transact(work)

    monkeypatch.setattr(database, "transact", meanwhile)
    assert await scene.stores.jobs.cancel("default", [run.id]) == frozenset()
    job = await scene.job(run.id)
    assert (job.state, job.round, job.cancel_requested) == (State.RUNNING, 1, False)


@pytest.mark.parametrize("move", [FAIL, RETRY_ASKED, RELEASE, CANCEL_RUNNING], ids=lambda move: move.row)
async def test_a_run_that_was_asked_to_cancel_ends_cancelled(scene: Scene, move: Move) -> None:
    run = await scene.run()
    await scene.stores.jobs.cancel("default", [run.id])
    error = BROKEN if move is FAIL else None
    finished = await scene.finish(run.reference, move, error=error, delay=5.0, carried=move is not RELEASE)
    assert (finished.state, finished.token, finished.carried) == (State.CANCELLED, run.token, False)
    sight = await scene.see(run.id)
    assert sight.job is not None
    assert (sight.job.state, sight.job.wake_at, sight.job.failures) == (State.CANCELLED, None, 0)
    assert [(attempt.outcome, attempt.error) for attempt in sight.attempts] == [(Outcome.CANCELLED, error)]


@pytest.mark.parametrize(("move", "state"), [(SUCCEED, State.SUCCESS), (FAIL_FOR_GOOD, State.FAILED)])
async def test_a_run_that_ended_first_keeps_its_outcome(scene: Scene, move: Move, state: State) -> None:
    run = await scene.run()
    await scene.stores.jobs.cancel("default", [run.id])
    assert (await scene.finish(run.reference, move)).state is state
    assert (await scene.job(run.id)).state is state


async def test_a_cancelled_job_is_never_started(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.stores.jobs.cancel("default", [reference.id])
    starts = await scene.start(reference)
    assert (starts.started, starts.refused) == ([], [])
    assert await scene.claim() == []


async def test_many_are_cancelled_at_once(scene: Scene) -> None:
    made = (await scene.stores.jobs.submit("default", [scene.new() for _ in range(1000)])).ids
    assert await scene.stores.jobs.cancel("default", made) == set(made)
    assert (await scene.stores.jobs.counts("default"))[State.CANCELLED] == 1000
    assert await scene.stores.jobs.cancel("default", []) == frozenset()


# ----------------------------------------------------------------------------------------------------- retry by hand


async def test_retry_answers_what_it_moved(scene: Scene) -> None:
    made = {state: (await scene.reach(state, queue="other")).id for state in State}
    answer = await scene.stores.jobs.retry("default", [*made.values(), job_id(scene.clock)])
    assert answer == {made[State.FAILED], made[State.CANCELLED]}
    assert await scene.stores.jobs.retry("default", []) == frozenset()


async def test_retry_begins_a_fresh_round(scene: Scene) -> None:
    run = await scene.run(expires_at=scene.at(1_000_000), max_retries=5)
    await scene.stores.worker.progress(scene.worker, run.reference, {"value": 0.5})
    await scene.lose(run.reference)
    run = await scene.again(run.id)
    await scene.finish(run.reference, FAIL, error=BROKEN)
    run = await scene.again(run.id)
    await scene.stores.jobs.cancel("default", [run.id])
    await scene.finish(run.reference, FAIL, error=BROKEN)
    before = await scene.job(run.id)
    scene.clock.turn(1)
    await scene.stores.jobs.retry("default", [run.id])
    expected = replace(
        before,
        state=State.PENDING,
        token=before.token + 1,
        round=before.round + 1,
        failures=0,
        losses=0,
        cancel_requested=False,
        run_at=scene.clock.now(),
        wake_at=scene.clock.now(),
        expires_at=None,
        first_started_at=None,
        started_at=None,
        finished_at=None,
        worker_id=None,
        result=None,
        error=None,
        progress=None,
    )
    assert await scene.job(run.id) == expected
    assert (before.attempt, before.failures, before.losses) == (3, 1, 1)


async def test_attempts_go_on_counting_after_a_retry_by_hand(scene: Scene) -> None:
    failed_one = await scene.reach(State.FAILED)
    await scene.stores.jobs.retry("default", [failed_one.id])
    run = await scene.again(failed_one.id)
    assert (run.attempt, run.failures, run.elapsed) == (2, 0, 0.0)
    await scene.finish(run.reference, SUCCEED)
    outcomes = [attempt.outcome for attempt in await scene.stores.jobs.attempts("default", run.id)]
    assert outcomes == [Outcome.FAILED, Outcome.SUCCESS]


# ------------------------------------------------------------------------------------------------------------- edit

EDITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "payload": ({"payload": '{"b": "ü"}'}, {"payload": '{"b": "ü"}'}),
    "queue": ({"queue": "mail"}, {"queue": "mail"}),
    "priority": ({"priority": Priority.LOW}, {"priority": Priority.LOW}),
    "run_at": (
        {"run_at": START + timedelta(hours=1)},
        {"run_at": START + timedelta(hours=1), "wake_at": START + timedelta(hours=1)},
    ),
    "delay_seconds": (
        {"delay_seconds": 2.5},
        {"run_at": START + timedelta(seconds=2.5), "wake_at": START + timedelta(seconds=2.5)},
    ),
    "max_retries": ({"max_retries": 9}, {"max_retries": 9}),
    "backoff": ({"backoff": Backoff("fixed", 7.0)}, {"backoff": Backoff("fixed", 7.0)}),
    "default backoff": ({"backoff": Backoff()}, {"backoff": Backoff()}),
    "timeout_seconds": ({"timeout_seconds": 1.5}, {"timeout_seconds": 1.5}),
    "tags": ({"tags": ("blue", "green")}, {"tags": ("blue", "green")}),
    "no tags": ({"tags": ()}, {"tags": ()}),
    "expires_at": ({"expires_at": START + timedelta(days=1)}, {"expires_at": START + timedelta(days=1)}),
    "no expires_at": ({"expires_at": None}, {"expires_at": None}),
    "retry_for_seconds": ({"retry_for_seconds": 60.5}, {"retry_for_seconds": 60.5}),
    "all at once": (
        {"payload": "{}", "queue": "q", "delay_seconds": 1, "tags": ("x",)},
        {
            "payload": "{}",
            "queue": "q",
            "tags": ("x",),
            "run_at": START + timedelta(seconds=1),
            "wake_at": START + timedelta(seconds=1),
        },
    ),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("name", EDITS)
async def test_an_edit_changes_what_it_names_and_the_version(scene: Scene, name: str) -> None:
    changes, expected = EDITS[name]
    job = await scene.submit(
        tags=("red",), backoff=Backoff("linear"), expires_at=scene.at(50), retry_for_seconds=5.0, delay_seconds=10.0
    )
    before = await scene.job(job)
    edited = await scene.stores.jobs.edit("default", job, 0, Edit(changes))
    assert edited == replace(before, token=1, **expected)
    assert await scene.job(job) == edited


async def test_edited_tags_are_found_and_old_ones_are_not(scene: Scene) -> None:
    job = await scene.submit(tags=("red", "blue"))
    await scene.stores.jobs.edit("default", job, 0, Edit({"tags": ("blue", "green")}))
    found = {tag: await scene.ids(JobFilter(tag=tag)) for tag in ("red", "blue", "green")}
    assert found == {"red": [], "blue": [job], "green": [job]}


async def test_an_edited_job_is_claimed_from_its_new_lane_at_its_new_time(scene: Scene) -> None:
    job = await scene.submit()
    await scene.stores.jobs.edit("default", job, 0, Edit({"queue": "mail", "delay_seconds": 1.0}))
    assert await scene.claim() == []
    assert await scene.claim(queue="mail") == []
    scene.clock.turn(1)
    assert [reference.id for reference in await scene.claim(queue="mail")] == [job]


async def test_an_edit_of_a_stale_version_is_refused(scene: Scene) -> None:
    job = await scene.submit()
    await scene.stores.jobs.edit("default", job, 0, Edit({"queue": "mail"}))
    with pytest.raises(StaleVersion) as caught:
        await scene.stores.jobs.edit("default", job, 0, Edit({"queue": "other"}))
    assert (caught.value.given, caught.value.current) == (0, 1)
    assert (await scene.job(job)).queue == "mail"


async def test_an_edit_of_a_job_that_does_not_wait_is_refused(scene: Scene) -> None:
    reference = await scene.queued()
    with pytest.raises(IllegalMove):
        await scene.stores.jobs.edit("default", reference.id, reference.token, Edit({"queue": "mail"}))


async def test_an_edit_of_nothing_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound):
        await scene.stores.jobs.edit("default", job_id(scene.clock), 0, Edit({}))


# ----------------------------------------------------------------------------------------------------------- delete


async def test_delete_takes_attempts_and_tags_along(scene: Scene) -> None:
    gone = await scene.failed(BROKEN, tags=("red",))
    kept = await scene.failed(BROKEN, tags=("red",))
    assert await scene.stores.jobs.delete("default", [gone, job_id(scene.clock)]) == {gone}
    assert await scene.stores.jobs.attempts("default", gone) == []
    assert await scene.ids(JobFilter(tag="red")) == [kept]
    assert len(await scene.stores.jobs.attempts("default", kept)) == 1


async def test_times_keep_their_microseconds(stores: Stores, clock: ManualClock) -> None:
    moment = START + timedelta(microseconds=123_457)
    new = new_job(clock, run_at=moment, expires_at=moment + timedelta(days=3000))
    await stores.jobs.submit("default", [new])
    job: Job | None = await stores.jobs.get("default", new.id)
    assert job is not None
    assert (job.run_at, job.wake_at, job.expires_at) == (moment, moment, new.expires_at)
    assert job.run_at.tzinfo is not None
