"""The duty of backfills: when it looks, and whom it tells."""

from __future__ import annotations

import pytest

from horae.domain.job import State
from horae.domain.schedule import BackfillState
from horae.runtime.metrics import Metrics
from horae.scheduler.backfill import LONGEST_LOOK, SHORTEST_LOOK, Backfills
from horae.scheduler.looks import SAFETY_POLL
from horae.scheduler.service import Scheduler
from horae.signals.base import Event, Topic
from horae.signals.inprocess import InProcessSignals
from tests.dispatch.faults import Faults, Logs
from tests.dispatch.fixtures import counted
from tests.support.recurring import finish, fire, jobs_of, scheduled, see_backfill, start_backfill
from tests.support.scene import NAMESPACE, Scene
from tests.support.signals import Listener, told


@pytest.fixture
def backfill(scheduler: Scheduler) -> Backfills:
    return scheduler.backfill


async def test_while_none_is_running_it_asks_only_now_and_then(
    scene: Scene, backfill: Backfills, faults: Faults
) -> None:
    await scheduled(scene)
    assert await backfill.run_once() == SAFETY_POLL
    assert faults.calls == ["backfilling"]


async def test_when_hints_may_be_lost_it_asks_five_times_as_often(
    scene: Scene, backfill: Backfills, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessSignals, "reliable", property(lambda _: False))
    assert await backfill.run_once() == SAFETY_POLL / 5


async def test_a_hint_wakes_it(backfill: Backfills, signals: InProcessSignals) -> None:
    signals.hint(Topic.SCHEDULES)
    assert backfill.wake.is_set()


async def test_it_looks_often_while_jobs_end_and_more_slowly_while_they_do_not(
    scene: Scene, backfill: Backfills
) -> None:
    made = await scheduled(scene)
    await start_backfill(scene, made, -300, -60, 1)
    waits = [await backfill.run_once() for _ in range(5)]
    assert waits == pytest.approx([SHORTEST_LOOK, 2 * SHORTEST_LOOK, 4 * SHORTEST_LOOK, LONGEST_LOOK, LONGEST_LOOK])
    await finish(scene, (await jobs_of(scene, made))[0].id)
    waits = [await backfill.run_once() for _ in range(2)]
    assert waits == pytest.approx([SHORTEST_LOOK, 2 * SHORTEST_LOOK])


async def test_a_backfill_runs_to_its_end_beside_the_schedule(scene: Scene, backfill: Backfills) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -300, -60, 2)
    while await backfill.run_once() < SAFETY_POLL:
        await scene.turn(30)
        await fire(scene)
        waiting = [job.id for job in await jobs_of(scene, made) if job.state is State.PENDING]
        await finish(scene, *waiting)
    done = await see_backfill(scene, begun)
    assert (done.state, done.made, done.succeeded) == (BackfillState.DONE, 5, 5)
    times = [job.fire_time for job in await jobs_of(scene, made)]
    assert len(times) == len(set(times)) > 5


async def test_watchers_metrics_the_feed_and_the_log_are_told(
    scene: Scene, backfill: Backfills, signals: InProcessSignals, metrics: Metrics, logs: Logs
) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -120, -60)
    feed = Listener(signals, Topic.DUE)
    async with told(signals, NAMESPACE) as events:
        await backfill.run_once()
        assert feed.woken == 1
        await backfill.run_once()
        await finish(scene, *(job.id for job in await jobs_of(scene, made)))
        await backfill.run_once()
    assert feed.woken == 1
    data = {"id": made.id, "name": "s", "change": "backfill", "backfill_id": begun.id, "made": 2, "kept": 0, "total": 2}
    assert events == [
        Event("schedule", NAMESPACE, {**data, "state": "RUNNING"}),
        Event("schedule", NAMESPACE, {**data, "state": "DONE"}),
    ]
    assert counted(metrics, "schedule_fires_total", outcome="backfilled") == 2
    assert counted(metrics, "jobs_submitted_total", queue="default") == 2
    assert [line["state"] for line in logs if line["event"] == "backfill.ended"] == ["DONE"]


async def test_after_a_cancel_it_comes_to_rest(scene: Scene, backfill: Backfills) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -300, -60, 2)
    await backfill.run_once()
    await scene.stores.schedules.cancel_backfill(NAMESPACE, made.id, begun.id, "ann")
    assert await backfill.run_once() == SAFETY_POLL
    assert {job.state for job in await jobs_of(scene, made)} == {State.CANCELLED}
