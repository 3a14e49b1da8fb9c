"""What the scheduler mends (T12, T13, T17, T18), over both databases."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from horae.domain.job import ISOLATE_FROM_LOSSES, MAX_LOSSES, Failure, Outcome, Reference, State
from horae.domain.retry import Backoff
from horae.domain.transitions import FAIL, SUCCEED
from horae.store.base import Retention
from tests.support.factories import LEASE
from tests.support.scene import Scene
from tests.support.waiting import together

NEVER = Retention(None, None)
STEADY = Backoff("fixed", 8.0, jitter=0.0)


async def rescue(scene: Scene, limit: int = 1000) -> dict[Outcome, int]:
    return dict(await scene.stores.rescue.rescue_attempts(limit))


# -------------------------------------------------------------------------------------------------------- hand-overs


async def test_a_hand_over_that_nobody_took_up_is_rescued(scene: Scene) -> None:
    reference = await scene.queued()
    scene.clock.turn(LEASE - 0.001)
    assert await scene.stores.rescue.rescue_handovers(10) == 0
    scene.clock.turn(0.001)
    assert await scene.stores.rescue.rescue_handovers(10) == 1
    assert await scene.claim() == [Reference(reference.id, reference.token + 2)]


async def test_a_rescued_hand_over_is_stale_at_its_worker(scene: Scene) -> None:
    reference = await scene.queued()
    await scene.turn(LEASE)
    await scene.stores.rescue.rescue_handovers(10)
    starts = await scene.start(reference)
    assert (starts.started, starts.refused) == ([], [])


async def test_hand_overs_are_rescued_a_few_at_a_time_the_oldest_first(scene: Scene) -> None:
    first = await scene.queued()
    scene.clock.turn(1)
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(4)])
    await scene.claim()
    scene.clock.turn(LEASE)
    assert [await scene.stores.rescue.rescue_handovers(2) for _ in range(4)] == [2, 2, 1, 0]
    assert (await scene.job(first.id)).token == first.token + 1


async def test_rescuers_at_once_rescue_each_hand_over_once(scene: Scene) -> None:
    made = (await scene.stores.jobs.submit("default", [scene.new() for _ in range(300)])).ids
    await scene.claim()
    scene.clock.turn(LEASE)
    counts = await together(*(scene.stores.rescue.rescue_handovers(100) for _ in range(6)))
    assert sum(counts) == 300
    assert {(await scene.job(id_)).token for id_ in made} == {2}


# ---------------------------------------------------------------------------------------------------------- attempts


async def test_a_run_of_a_live_worker_is_left_alone(scene: Scene) -> None:
    run = await scene.run()
    before = await scene.see(run.id)
    await scene.turn(LEASE * 2)
    assert await rescue(scene) == {}
    assert await scene.see(run.id) == before


async def test_a_run_of_a_dead_worker_is_tried_again_after_a_backoff(scene: Scene) -> None:
    run = await scene.run(backoff=STEADY)
    scene.clock.turn(LEASE)
    assert await rescue(scene) == {Outcome.LOST: 1}
    job = await scene.job(run.id)
    assert (job.state, job.losses, job.failures, job.wake_at) == (State.RETRYING, 1, 0, scene.at(8))
    assert job.run_at == job.wake_at
    assert job.error is not None
    assert job.error.type == "lost"


async def test_the_backoff_after_a_loss_grows_with_the_losses(scene: Scene) -> None:
    run = await scene.run(backoff=Backoff("exponential", 1.0, 2.0, jitter=0.0))
    waits = []
    for _ in range(4):
        await scene.kill()
        await rescue(scene)
        job = await scene.job(run.id)
        waits.append((job.run_at - scene.clock.now()).total_seconds())
        scene.clock.turn(waits[-1])
        scene.worker = await scene.new_worker()
        await scene.again(run.id)
    assert waits == [1.0, 2.0, 4.0, 8.0]


async def test_a_run_without_any_worker_row_is_lost(scene: Scene) -> None:
    await scene.run()
    async with scene.stores.database.engine.connect() as connection:
        await connection.exec_driver_sql("DELETE FROM workers")
    assert await rescue(scene) == {Outcome.LOST: 1}


async def test_a_run_of_a_retired_worker_is_lost_at_once(scene: Scene) -> None:
    await scene.run()
    await scene.kill()
    assert await rescue(scene) == {Outcome.LOST: 1}


async def test_only_runs_of_the_dead_worker_are_lost(scene: Scene) -> None:
    lost = await scene.run()
    other = await scene.new_worker()
    kept = await scene.run(worker=other)
    await scene.kill()
    assert await rescue(scene) == {Outcome.LOST: 1}
    assert (await scene.job(lost.id)).state is State.RETRYING
    assert (await scene.job(kept.id)).state is State.RUNNING


async def test_a_lost_worker_can_write_nothing_any_more(scene: Scene) -> None:
    run, gone = await scene.run(), scene.worker
    await scene.lose(run.reference)
    before = await scene.see(run.id)
    assert (await scene.finish(run.reference, SUCCEED, gone)).state is None
    assert not await scene.stores.worker.progress(gone, run.reference, {"value": 1})
    assert await scene.see(run.id) == before


async def test_the_tenth_loss_is_the_last(scene: Scene) -> None:
    run = await scene.run(max_retries=0)
    for losses in range(1, MAX_LOSSES):
        await scene.lose(run.reference)
        job = await scene.job(run.id)
        assert (job.state, job.losses, job.failures) == (State.RETRYING, losses, 0)
        run = await scene.again(run.id)
        assert run.losses == losses
    assert run.losses >= ISOLATE_FROM_LOSSES
    await scene.kill()
    assert await rescue(scene) == {Outcome.LOST: 1}
    sight = await scene.see(run.id)
    assert sight.job is not None
    assert (sight.job.state, sight.job.losses, sight.job.wake_at) == (State.FAILED, MAX_LOSSES, None)
    assert [attempt.outcome for attempt in sight.attempts] == [Outcome.LOST] * MAX_LOSSES


async def test_a_lost_run_that_was_asked_to_cancel_is_cancelled(scene: Scene) -> None:
    run = await scene.run()
    await scene.stores.jobs.cancel("default", [run.id])
    await scene.kill()
    assert await rescue(scene) == {Outcome.CANCELLED: 1}
    job = await scene.job(run.id)
    assert (job.state, job.losses) == (State.CANCELLED, 0)


async def test_a_run_past_its_deadline_counts_as_timed_out_though_its_worker_lives(scene: Scene) -> None:
    run = await scene.run(timeout_seconds=10.0, backoff=STEADY)
    await scene.turn(10 + 2 * LEASE - 0.001)
    assert await rescue(scene) == {}
    await scene.turn(0.001)
    assert await rescue(scene) == {Outcome.TIMED_OUT: 1}
    job = await scene.job(run.id)
    assert (job.state, job.failures, job.losses, job.wake_at) == (State.RETRYING, 1, 0, scene.at(8))


async def test_a_run_past_its_deadline_is_lost_if_its_worker_is_dead(scene: Scene) -> None:
    for _ in range(3):
        await scene.run(timeout_seconds=1.0, max_retries=0)
    scene.clock.turn(1000)
    assert [await rescue(scene, 2) for _ in range(3)] == [{Outcome.LOST: 2}, {Outcome.LOST: 1}, {}]


async def test_the_last_timeout_is_final(scene: Scene) -> None:
    run = await scene.run(timeout_seconds=10.0, max_retries=0)
    await scene.turn(10 + 2 * LEASE)
    assert await rescue(scene) == {Outcome.TIMED_OUT: 1}
    job = await scene.job(run.id)
    assert (job.state, job.failures) == (State.FAILED, 1)


async def test_no_retry_after_a_timeout_later_than_the_round_allows(scene: Scene) -> None:
    run = await scene.run(timeout_seconds=10.0, backoff=STEADY, retry_for_seconds=47.0)
    await scene.turn(10 + 2 * LEASE)
    await rescue(scene)
    assert (await scene.job(run.id)).state is State.FAILED


async def test_a_run_past_its_deadline_that_was_asked_to_cancel_is_cancelled(scene: Scene) -> None:
    run = await scene.run(timeout_seconds=10.0)
    await scene.stores.jobs.cancel("default", [run.id])
    await scene.turn(10 + 2 * LEASE)
    assert await rescue(scene) == {Outcome.CANCELLED: 1}
    assert (await scene.job(run.id)).state is State.CANCELLED


async def test_attempts_are_rescued_a_few_at_a_time(scene: Scene) -> None:
    workers = [await scene.new_worker() for _ in range(3)]
    for worker in workers * 2:
        await scene.run(worker=worker)
    scene.clock.turn(LEASE)
    counts = [await rescue(scene, 4) for _ in range(3)]
    assert counts == [{Outcome.LOST: 4}, {Outcome.LOST: 2}, {}]


async def test_rescuers_at_once_rescue_each_attempt_once(scene: Scene) -> None:
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(200)])
    runs = (await scene.start(*await scene.claim())).started
    scene.clock.turn(LEASE)
    counts = await together(*(rescue(scene) for _ in range(5)))
    assert sum((Counter(each) for each in counts), Counter()) == {Outcome.LOST: 200}
    assert {(await scene.job(run.id)).losses for run in runs} == {1}


async def test_a_rescue_and_a_finish_at_once_leave_one_outcome(scene: Scene) -> None:
    await scene.stores.jobs.submit("default", [scene.new() for _ in range(50)])
    runs = (await scene.start(*await scene.claim())).started
    await scene.kill()
    finishes = [scene.finish(run.reference, SUCCEED) for run in runs]
    finished, rescued = await asyncio.gather(together(*finishes), rescue(scene))
    states = await scene.stores.jobs.counts("default")
    assert states[State.SUCCESS] + states[State.RETRYING] == 50
    assert states[State.RETRYING] == rescued.get(Outcome.LOST, 0)
    assert states[State.SUCCESS] == sum(each.state is State.SUCCESS for each in finished)


async def test_losing_a_run_forgets_the_error_before_it(scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, error=Failure("ValueError", "first"))
    run = await scene.again(run.id)
    await scene.lose(run.reference)
    job = await scene.job(run.id)
    assert job.error is not None
    assert job.error.type == "lost"


# ------------------------------------------------------------------------------------------------------------ expiry


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RETRYING])
async def test_what_was_not_started_in_time_has_failed(scene: Scene, state: State) -> None:
    reference = await scene.reach(state, expires_at=scene.at(60))
    before = await scene.see(reference.id)
    scene.clock.turn(60 - 0.001)
    assert await scene.stores.rescue.expire(10) == 0
    scene.clock.turn(0.001)
    assert await scene.stores.rescue.expire(10) == 1
    after = await scene.see(reference.id)
    assert after.job is not None
    assert (after.job.state, after.job.finished_at, after.job.wake_at) == (State.FAILED, scene.clock.now(), None)
    assert after.job.error is not None
    assert (after.job.error.type, after.attempts) == ("expired", before.attempts)


async def test_what_never_expires_waits_for_ever(scene: Scene) -> None:
    await scene.submit()
    scene.clock.turn(10**9)
    assert await scene.stores.rescue.expire(10) == 0


async def test_a_running_job_does_not_expire(scene: Scene) -> None:
    await scene.run(expires_at=scene.at(1))
    scene.clock.turn(2)
    assert await scene.stores.rescue.expire(10) == 0


async def test_jobs_expire_a_few_at_a_time(scene: Scene) -> None:
    for state in (State.PENDING, State.QUEUED, State.RETRYING):
        for _ in range(2):
            await scene.reach(state, queue=state.lower(), expires_at=scene.at(60))
    scene.clock.turn(60)
    assert [await scene.stores.rescue.expire(4) for _ in range(3)] == [4, 2, 0]


# ------------------------------------------------------------------------------------------------- the next deadline


async def next_rescue(scene: Scene) -> float | None:
    return await scene.stores.rescue.next_rescue()


async def test_nothing_to_rescue_is_nothing_to_wait_for(scene: Scene) -> None:
    await scene.reach(State.SUCCESS)
    await scene.submit()
    assert await next_rescue(scene) is None


async def test_the_next_rescue_is_the_earliest_deadline(scene: Scene) -> None:
    deadlines: list[float | None] = []
    await scene.submit(expires_at=scene.at(500), queue="later")
    deadlines.append(await next_rescue(scene))
    await scene.run(timeout_seconds=100.0)
    deadlines.append(await next_rescue(scene))
    await scene.queued()
    deadlines.append(await next_rescue(scene))
    assert deadlines == [500.0, 100.0 + 2 * LEASE, LEASE]


async def test_a_run_without_a_live_worker_is_due_for_rescue_now(scene: Scene) -> None:
    await scene.run()
    await scene.kill()
    found = await next_rescue(scene)
    assert found is not None
    assert found <= 0


async def test_what_is_overdue_is_due_for_rescue_now(scene: Scene) -> None:
    await scene.queued()
    await scene.turn(LEASE + 2)
    assert await next_rescue(scene) == -2.0
