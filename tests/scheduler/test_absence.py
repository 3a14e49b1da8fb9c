"""The duty that notices absences: when it looks, and whom it tells."""

from __future__ import annotations

import pytest

from horae.domain.schedule import Misfire, Verdict
from horae.domain.transitions import SUCCEED
from horae.runtime.metrics import Metrics
from horae.scheduler.absence import BATCH, LONGEST_LOOK, SOON, Absences
from horae.scheduler.service import Scheduler
from horae.signals.base import Event
from horae.signals.inprocess import InProcessSignals
from tests.dispatch.faults import Faults, Logs
from tests.dispatch.fixtures import counted
from tests.support.recurring import EVERY_SECOND, fire, jobs_of, ledger, scheduled
from tests.support.scene import NAMESPACE, Scene
from tests.support.signals import told

WITHIN = 30


@pytest.fixture
def absence(scheduler: Scheduler) -> Absences:
    return scheduler.absence


async def settle(absence: Absences) -> float:
    """Rounds until one judges nothing; how long that one wants to sleep."""
    while not (pause := await absence.run_once()):
        pass
    return pause


async def test_with_nothing_promised_it_looks_now_and_then(scene: Scene, absence: Absences) -> None:
    await scheduled(scene)
    scene.clock.turn(60)
    await fire(scene)
    assert await absence.run_once() == LONGEST_LOOK


@pytest.mark.parametrize(("ahead", "pause"), [(0.25, 0.25), (4.5, 4.5), (20, LONGEST_LOOK)])
async def test_it_sleeps_until_the_next_moment_that_was_promised(
    scene: Scene, absence: Absences, ahead: float, pause: float
) -> None:
    await scheduled(scene, must_succeed_within_seconds=WITHIN)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(WITHIN - ahead)
    assert await absence.run_once() == pytest.approx(pause)


async def test_what_another_scheduler_judges_is_looked_at_again_soon(
    scene: Scene, absence: Absences, faults: Faults
) -> None:
    await scheduled(scene, must_succeed_within_seconds=WITHIN)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(WITHIN)
    faults.answer("note_absences", None)
    assert await absence.run_once() == SOON


async def test_watchers_metrics_and_the_log_are_told(
    scene: Scene, absence: Absences, signals: InProcessSignals, metrics: Metrics, logs: Logs
) -> None:
    made = await scheduled(scene, must_succeed_within_seconds=WITHIN)
    scene.clock.turn(60)
    await fire(scene)
    (job,) = await jobs_of(scene, made)
    scene.clock.turn(WITHIN)
    async with told(signals, NAMESPACE) as events:
        assert await settle(absence) == LONGEST_LOOK
    facts = {"name": "s", "fire_time": "2026-03-01T12:01:00Z", "detail": f"job {job.id} was PENDING"}
    assert events == [Event("schedule", NAMESPACE, {"id": made.id, "change": "missed", **facts})]
    assert counted(metrics, "schedule_absences_total") == 1
    assert [line for line in logs if line["event"] == "schedule.missed"] == [
        {"event": "schedule.missed", "log_level": "warning", "schedule_id": made.id, **facts}
    ]


async def test_what_succeeded_is_nothing_to_tell(
    scene: Scene, absence: Absences, signals: InProcessSignals, metrics: Metrics
) -> None:
    await scheduled(scene, must_succeed_within_seconds=WITHIN)
    await scene.turn(60)
    await fire(scene)
    (run,) = (await scene.start(*await scene.claim())).started
    await scene.finish(run.reference, SUCCEED)
    scene.clock.turn(WITHIN)
    async with told(signals, NAMESPACE) as events:
        await settle(absence)
    assert events == []
    assert counted(metrics, "schedule_absences_total") == 0


async def test_more_than_a_batch_is_judged_at_one_go(scene: Scene, absence: Absences) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, must_succeed_within_seconds=WITHIN, misfire=Misfire.SKIP)
    scene.clock.turn(BATCH + 100.5)
    await fire(scene)
    assert await absence.run_once() == 0.0
    await settle(absence)
    missed = [line for line in await ledger(scene, made) if line.verdict is Verdict.MISSED]
    assert len(missed) == BATCH + 100 - WITHIN
