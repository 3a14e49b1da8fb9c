"""The worker's way from deliveries to outcomes (T5 to T10, T14, T19), over both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from horae.domain.job import FINAL, Failure, Lane, Outcome, Priority, Reference, State
from horae.domain.retry import Backoff
from horae.domain.transitions import CANCEL_RUNNING, FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED, SUCCEED, Move
from horae.store.base import Finish, Finished, Run, Starts
from tests.support.clock import START
from tests.support.factories import LEASE, job_id
from tests.support.scene import BROKEN, HANDLERS, Scene, with_token
from tests.support.waiting import together

LARGEST_RESULT = 256 * 1024

# ------------------------------------------------------------------------------------------------------------ start


async def test_a_start_brings_all_that_the_run_needs(scene: Scene) -> None:
    new = scene.new(
        payload='{"to": "Zoë"}',
        queue="mail",
        priority=Priority.HIGH,
        run_at=START - timedelta(seconds=2),
        max_retries=4,
        backoff=Backoff("fixed", 9.0),
        timeout_seconds=1.5,
        retry_for_seconds=60.0,
        idempotency_key="k",
        request_hash=b"1" * 32,
    )
    await scene.stores.jobs.submit("space", [new])
    references = await scene.stores.dispatch.claim(Lane("space", "mail", Priority.HIGH), 1, LEASE)
    scene.clock.turn(0.5)
    run = Run(
        id=new.id,
        token=1,
        namespace="space",
        queue="mail",
        priority=Priority.HIGH,
        handler=new.handler,
        payload=new.payload,
        attempt=1,
        failures=0,
        losses=0,
        max_retries=4,
        backoff=new.backoff,
        timeout_seconds=1.5,
        retry_for_seconds=60.0,
        idempotency_key="k",
        schedule_id=None,
        fire_time=None,
        late=2.5,
        elapsed=0.0,
    )
    assert await scene.start(*references) == Starts([run], [])
    job = await scene.job(new.id, "space")
    assert (job.started_at, job.first_started_at, job.worker_id) == (scene.clock.now(), scene.clock.now(), scene.worker)


async def test_a_later_start_tells_what_came_before(scene: Scene) -> None:
    first = await scene.run(timeout_seconds=20.0)
    await scene.finish(first.reference, FAIL, error=BROKEN, delay=4.0)
    scene.clock.turn(5)
    run = await scene.again(first.id)
    assert (run.token, run.attempt, run.failures, run.late, run.elapsed) == (first.token + 2, 2, 1, 1.0, 5.0)
    job = await scene.job(run.id)
    assert (job.first_started_at, job.started_at) == (START, scene.clock.now())
    assert job.wake_at == scene.at(20 + 2 * LEASE)


async def test_a_whole_delivery_starts_at_once(scene: Scene) -> None:
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(100)])
    references = await scene.claim()
    assert [run.reference for run in (await scene.start(*references)).started] == references


async def test_references_with_different_tokens_start_together(scene: Scene) -> None:
    retrying = await scene.reach(State.RETRYING)
    await scene.submit()
    references = await scene.claim()
    assert len({reference.token for reference in references}) == 2
    starts = await scene.start(*references)
    assert {run.id for run in starts.started} >= {retrying.id}
    assert len(starts.started) == 2


async def test_a_carried_retry_starts_from_its_message(scene: Scene) -> None:
    run = await scene.run()
    finished = await scene.finish(run.reference, FAIL, delay=4.0, carried=True)
    assert finished == Finished(run.reference, State.RETRYING, run.token + 1, carried=True)
    scene.clock.turn(4)
    starts = await scene.start(Reference(run.id, finished.token))
    assert [again.attempt for again in starts.started] == [2]


async def test_a_claimed_retry_makes_its_message_stale(scene: Scene) -> None:
    run = await scene.run()
    finished = await scene.finish(run.reference, FAIL, delay=4.0, carried=True)
    scene.clock.turn(9)
    claimed = await scene.claim()
    assert await scene.start(Reference(run.id, finished.token)) == Starts([], [])
    assert [again.reference for again in (await scene.start(*claimed)).started] == claimed


async def test_a_row_that_runs_already_is_adopted(scene: Scene) -> None:
    reference = await scene.queued()
    first = await scene.start(reference)
    before = await scene.see(reference.id)
    scene.clock.turn(1)
    assert await scene.start(reference) == first
    assert await scene.see(reference.id) == before


async def test_a_row_that_runs_elsewhere_is_stale(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.start(reference)
    other = await scene.new_worker()
    assert await scene.start(reference, worker=other) == Starts([], [])


@pytest.mark.parametrize("state", [state for state in State if state in FINAL or state is State.PENDING])
async def test_what_does_not_wait_for_a_start_is_stale(scene: Scene, state: State) -> None:
    assert await scene.start(await scene.reach(state)) == Starts([], [])


async def test_what_is_gone_is_stale(scene: Scene) -> None:
    assert await scene.start(Reference(job_id(scene.clock), 1)) == Starts([], [])


async def test_a_paused_queue_refuses_starts(scene: Scene) -> None:
    reference, other = await scene.queued(), await scene.queued(queue="other")
    await scene.stores.queues.pause("default", "default", "ann")
    starts = await scene.start(reference, other)
    assert ([run.id for run in starts.started], starts.refused, starts.alive) == ([other.id], [reference], True)
    assert (await scene.job(reference.id)).state is State.QUEUED


async def test_a_pause_of_another_namespace_refuses_no_start(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.stores.queues.pause("other", "default", "ann")
    assert len((await scene.start(reference)).started) == 1


async def test_an_expired_job_is_refused(scene: Scene) -> None:
    reference = await scene.queued(expires_at=scene.at(10))
    in_time = await scene.queued(expires_at=scene.at(10.000001))
    await scene.turn(10)
    starts = await scene.start(reference, in_time)
    assert ([run.id for run in starts.started], starts.refused, starts.alive) == ([in_time.id], [reference], True)


async def test_a_job_of_a_handler_that_this_worker_lacks_is_foreign(scene: Scene) -> None:
    reference, known = await scene.queued(handler="strange"), await scene.queued()
    starts = await scene.start(reference, known)
    assert ([run.id for run in starts.started], starts.foreign, starts.refused) == ([known.id], [reference], [])
    assert (await scene.job(reference.id)).attempt == 0


async def test_a_dead_worker_starts_nothing(scene: Scene) -> None:
    reference = await scene.queued()
    scene.clock.turn(LEASE)
    starts = await scene.start(reference)
    assert (starts.started, starts.alive) == ([], False)
    assert (await scene.job(reference.id)).state is State.QUEUED


async def test_a_dead_worker_adopts_nothing(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.start(reference)
    scene.clock.turn(LEASE)
    starts = await scene.start(reference)
    assert (starts.started, starts.alive) == ([], False)


async def test_a_worker_that_never_registered_starts_nothing(scene: Scene) -> None:
    reference = await scene.queued()
    starts = await scene.stores.worker.start(scene.worker, [reference], HANDLERS, LEASE)
    assert starts.alive
    other = await scene.queued()
    starts = await scene.start(other, worker=type(scene.worker)(job_id(scene.clock)))
    assert (starts.started, starts.alive) == ([], False)


async def test_two_workers_with_one_delivery_run_it_once(scene: Scene) -> None:
    workers = [await scene.new_worker() for _ in range(5)]
    reference = await scene.queued()
    answers = await together(*(scene.start(reference, worker=worker) for worker in workers))
    assert sum(len(answer.started) for answer in answers) == 1


# --------------------------------------------------------------------------------------------------------- give back


async def test_what_is_given_back_is_due_at_its_time(scene: Scene) -> None:
    job = await scene.submit(run_at=START - timedelta(seconds=9))
    references = await scene.claim()
    assert await scene.stores.worker.give_back(references) == 1
    given = await scene.job(job)
    assert (given.state, given.wake_at, given.run_at) == (State.PENDING, given.run_at, START - timedelta(seconds=9))


async def test_what_is_given_back_for_later_is_due_later_but_not_later_than_asked_for(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.stores.worker.give_back([reference], delay=5.0)
    given = await scene.job(reference.id)
    assert (given.wake_at, given.run_at) == (scene.at(5), START)


async def test_give_back_answers_how_many_were_still_ours(scene: Scene) -> None:
    mine, running = await scene.queued(), (await scene.run()).reference
    assert await scene.stores.worker.give_back([mine, running, Reference(job_id(scene.clock), 1)]) == 1


# ------------------------------------------------------------------------------------------------------------ finish


async def test_a_success_keeps_its_result_and_forgets_earlier_errors(scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, error=BROKEN)
    run = await scene.again(run.id)
    finished = await scene.finish(run.reference, SUCCEED, result='{"sent": "ü"}')
    assert finished == Finished(run.reference, State.SUCCESS, run.token)
    job = await scene.job(run.id)
    assert (job.result, job.error, job.worker_id) == ('{"sent": "ü"}', None, scene.worker)


async def test_a_failure_is_kept_on_the_job_and_on_its_attempt(scene: Scene) -> None:
    run = await scene.run()
    await scene.stores.worker.progress(scene.worker, run.reference, {"value": 0.5})
    await scene.finish(run.reference, FAIL, error=BROKEN, delay=2.0)
    sight = await scene.see(run.id)
    assert sight.job is not None
    assert (sight.job.error, sight.attempts[0].error, sight.job.progress) == (BROKEN, BROKEN, None)


async def test_a_carried_retry_leaves_its_message_five_seconds(scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, delay=2.0, carried=True)
    job = await scene.job(run.id)
    assert (job.run_at, job.wake_at) == (scene.at(2), scene.at(7))


async def test_a_retry_of_a_paused_queue_is_not_carried(scene: Scene) -> None:
    run, other = await scene.run(), await scene.run(queue="other")
    await scene.stores.queues.pause("default", "default", "ann")
    finishes = [Finish(each.reference, FAIL, Outcome.FAILED, delay=2.0, carried=True) for each in (run, other)]
    finished = await scene.stores.worker.finish(scene.worker, finishes)
    assert [each.carried for each in finished] == [False, True]
    assert (await scene.job(run.id)).wake_at == scene.at(2)


async def test_a_delay_is_never_shorter_than_asked_for(scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, delay=0.123_456_1)
    assert (await scene.job(run.id)).run_at == START + timedelta(microseconds=123_457)


MIXED: list[tuple[Move, Outcome, State]] = [
    (SUCCEED, Outcome.SUCCESS, State.SUCCESS),
    (FAIL, Outcome.FAILED, State.RETRYING),
    (FAIL, Outcome.TIMED_OUT, State.RETRYING),
    (FAIL_FOR_GOOD, Outcome.FAILED, State.FAILED),
    (RETRY_ASKED, Outcome.RETRIED, State.RETRYING),
    (CANCEL_RUNNING, Outcome.CANCELLED, State.CANCELLED),
    (RELEASE, Outcome.RELEASED, State.PENDING),
]


async def test_a_batch_of_all_kinds_is_answered_in_its_order(scene: Scene) -> None:
    runs = [await scene.run() for _ in range(3 * len(MIXED))]
    kinds = MIXED * 3
    finishes = [
        Finish(run.reference, move, outcome, result=str(n) if n % 2 else None, error=Failure("E", str(n)), delay=n)
        for n, (run, (move, outcome, _)) in enumerate(zip(runs, kinds, strict=True))
    ]
    finished = await scene.stores.worker.finish(scene.worker, finishes)
    assert [(each.reference, each.state) for each in finished] == [
        (run.reference, state) for run, (_, _, state) in zip(runs, kinds, strict=True)
    ]
    for n, (run, (move, outcome, state)) in enumerate(zip(runs, kinds, strict=True)):
        sight = await scene.see(run.id)
        assert sight.job is not None
        assert (sight.job.state, sight.job.token) == (state, finished[n].token)
        assert [attempt.outcome for attempt in sight.attempts] == [outcome]
        assert sight.job.result == (str(n) if n % 2 and move is SUCCEED else None)
        assert sight.job.error == (None if move is SUCCEED else Failure("E", str(n)))
        assert move not in (FAIL, RETRY_ASKED) or sight.job.wake_at == scene.at(n)


@pytest.mark.parametrize(("move", "outcome", "state"), MIXED, ids=lambda it: getattr(it, "row", None))
async def test_a_finish_may_be_repeated_and_changes_nothing_more(
    scene: Scene, move: Move, outcome: Outcome, state: State
) -> None:
    run = await scene.run()
    finish = Finish(run.reference, move, outcome, delay=1.0)
    first = await scene.stores.worker.finish(scene.worker, [finish])
    before = await scene.see(run.id)
    scene.clock.turn(1)
    again = await scene.stores.worker.finish(scene.worker, [finish])
    assert first[0].state is state
    assert again == (first if state is State.SUCCESS else [Finished(run.reference, None)])
    assert await scene.see(run.id) == before


async def test_a_stale_finish_among_others_is_refused_alone(scene: Scene) -> None:
    runs = [await scene.run() for _ in range(3)]
    stale = with_token(runs[1].reference, -1)
    references = [runs[0].reference, stale, runs[2].reference]
    for move, outcome, state in MIXED[:2]:
        finished = await scene.stores.worker.finish(scene.worker, [Finish(r, move, outcome) for r in references])
        assert [each.state for each in finished] == [state, None, state]
        runs = [await scene.run() for _ in range(3)]
        stale = with_token(runs[1].reference, 1)
        references = [runs[0].reference, stale, runs[2].reference]


async def test_finishing_nothing_is_no_trouble(scene: Scene) -> None:
    assert await scene.stores.worker.finish(scene.worker, []) == []


async def test_a_hundred_of_the_largest_results_are_written_together(scene: Scene) -> None:
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(100)])
    runs = (await scene.start(*await scene.claim())).started
    result = '"' + "ü'\\n" * (LARGEST_RESULT // 5 - 1) + '"'
    results = {run.reference: result[: -1 - n] + '"' for n, run in enumerate(runs)}
    finishes = [Finish(reference, SUCCEED, Outcome.SUCCESS, result=text) for reference, text in results.items()]
    finished = await scene.stores.worker.finish(scene.worker, finishes)
    assert {each.state for each in finished} == {State.SUCCESS}
    assert (await scene.job(runs[7].id)).result == results[runs[7].reference]


async def test_a_hundred_large_errors_are_written_together(scene: Scene) -> None:
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(100)])
    runs = (await scene.start(*await scene.claim())).started
    trace = "line\n" * 13_000
    finishes = [Finish(run.reference, FAIL, Outcome.FAILED, error=Failure("E", run.id, trace)) for run in runs]
    finished = await scene.stores.worker.finish(scene.worker, finishes)
    assert {each.state for each in finished} == {State.RETRYING}
    assert (await scene.job(runs[7].id)).error == Failure("E", runs[7].id, trace)


# ---------------------------------------------------------------------------------------------------------- the rest


async def test_progress_is_kept_and_may_be_repeated(scene: Scene) -> None:
    run = await scene.run()
    for _ in range(2):
        assert await scene.stores.worker.progress(scene.worker, run.reference, {"value": 0.5, "message": "ü"})
    assert (await scene.job(run.id)).progress == {"value": 0.5, "message": "ü"}


async def test_progress_of_somebody_elses_run_is_refused(scene: Scene) -> None:
    run, other = await scene.run(), await scene.new_worker()
    assert not await scene.stores.worker.progress(other, run.reference, {"value": 1})
    assert not await scene.stores.worker.progress(scene.worker, with_token(run.reference, 1), {"value": 1})


async def test_a_new_run_has_no_progress(scene: Scene) -> None:
    run = await scene.run()
    await scene.stores.worker.progress(scene.worker, run.reference, {"value": 0.5})
    await scene.finish(run.reference, RELEASE)
    await scene.again(run.id)
    assert (await scene.job(run.id)).progress is None


async def test_a_worker_is_told_what_runs_under_its_id(scene: Scene) -> None:
    other = await scene.new_worker()
    mine = {(await scene.run()).reference for _ in range(3)}
    theirs = (await scene.run(worker=other)).reference
    await scene.queued()
    assert set(await scene.stores.worker.running(scene.worker)) == mine
    assert await scene.stores.worker.running(other) == [theirs]


async def test_a_worker_is_told_of_its_own_cancel_requests_only(scene: Scene) -> None:
    other = await scene.new_worker()
    mine, theirs, unasked = await scene.run(), await scene.run(worker=other), await scene.run()
    await scene.stores.jobs.cancel("default", [mine.id, theirs.id])
    assert await scene.stores.worker.cancel_requests(scene.worker) == [mine.reference]
    await scene.finish(mine.reference, CANCEL_RUNNING)
    assert await scene.stores.worker.cancel_requests(scene.worker) == []
    assert await scene.stores.worker.running(scene.worker) == [unasked.reference]


async def test_one_run_ends_once_whoever_writes_first(scene: Scene) -> None:
    runs = [await scene.run() for _ in range(10)]
    moves = [(SUCCEED, Outcome.SUCCESS), (FAIL_FOR_GOOD, Outcome.FAILED), (RELEASE, Outcome.RELEASED)]
    writes = [
        scene.stores.worker.finish(scene.worker, [Finish(run.reference, move, outcome)])
        for run in runs
        for move, outcome in moves
    ]
    answers = await together(*writes)
    won = [answer[0].reference.id for answer in answers if answer[0].state is not None]
    assert sorted(won) == sorted(run.id for run in runs)
