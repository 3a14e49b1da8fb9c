"""Final jobs go when their retention is over, and nothing else goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from horae.domain.job import FINAL, State
from horae.domain.schedule import Misfire
from horae.domain.timing import Timing
from horae.scheduler.prune import AGAIN, BATCH, EVERY, Prune, PruneLedger
from horae.scheduler.service import Scheduler
from horae.store.base import Retention
from tests.scheduler.conftest import SETTINGS
from tests.support.recurring import EVERY_SECOND, at, fire, ledger, scheduled
from tests.support.scene import NAMESPACE, Scene

WEEK, MONTH = 7 * 86400.0, 30 * 86400.0


@pytest.fixture
def prune(scheduler: Scheduler) -> Prune:
    return scheduler.prune


async def one_of_each(scene: Scene) -> dict[State, str]:
    """A job in every state; those that run belong to another queue than those that are claimed."""
    queues = {state: state.value.lower() for state in State}
    return {state: (await scene.reach(state, queue=queues[state])).id for state in State}


async def left(scene: Scene, ids: dict[State, str]) -> set[State]:
    return {state for state, job_id in ids.items() if (await scene.see(job_id)).job}


@pytest.mark.parametrize(
    ("age", "gone"),
    [
        (WEEK - 1, set()),
        (WEEK + 1, {State.SUCCESS, State.CANCELLED}),
        (MONTH - 1, {State.SUCCESS, State.CANCELLED}),
        (MONTH + 1, FINAL),
    ],
)
async def test_each_state_has_its_retention(scene: Scene, prune: Prune, age: float, gone: set[State]) -> None:
    ids = await one_of_each(scene)
    scene.clock.turn(age)
    assert await prune.run_once() == EVERY
    assert set(State) - await left(scene, ids) == gone


@pytest.mark.parametrize(
    ("retention", "gone"),
    [
        (Retention(None, timedelta(days=1)), {State.FAILED}),
        (Retention(timedelta(days=1), None), {State.SUCCESS, State.CANCELLED}),
        (Retention(None, None), set()),
        (Retention(timedelta(0), timedelta(0)), FINAL),
    ],
)
async def test_never_means_never(scene: Scene, retention: Retention, gone: set[State]) -> None:
    ids = await one_of_each(scene)
    scene.clock.turn(10 * MONTH)
    await Prune(scene.stores.rescue, retention).run_once()
    assert set(State) - await left(scene, ids) == gone


async def test_a_full_batch_is_followed_by_another_at_once(scene: Scene, prune: Prune) -> None:
    ids = (await scene.stores.jobs.submit(NAMESPACE, [scene.new() for _ in range(BATCH + 1)])).ids
    await scene.stores.jobs.cancel(NAMESPACE, ids)
    scene.clock.turn(WEEK + 1)
    assert await prune.run_once() < 1
    assert await prune.run_once() == EVERY
    assert sum((await scene.stores.jobs.counts(NAMESPACE)).values()) == 0


def test_the_scheduler_prunes_by_its_settings(prune: Prune) -> None:
    assert prune._retention == SETTINGS.retention


# ------------------------------------------------------------------------------------------------------------- ledger

QUARTER = timedelta(days=90)


@pytest.fixture
def prune_ledger(scheduler: Scheduler) -> PruneLedger:
    return scheduler.prune_ledger


@pytest.mark.parametrize(("age", "left"), [(QUARTER, 1), (QUARTER + timedelta(seconds=0.001), 0)])
async def test_the_ledger_and_the_history_have_a_retention_of_their_own(
    scene: Scene, prune_ledger: PruneLedger, age: timedelta, left: int
) -> None:
    made = await scheduled(scene, timing=Timing(interval_seconds=10**9, start_at=at(1)))
    scene.clock.turn(1)
    await fire(scene)
    scene.clock.turn(age.total_seconds())
    assert await prune_ledger.run_once() == EVERY
    assert len(await ledger(scene, made)) == left


async def test_a_full_batch_of_lines_is_followed_by_another_at_once(scene: Scene, prune_ledger: PruneLedger) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, misfire=Misfire.SKIP, misfire_grace_seconds=0)
    scene.clock.turn(BATCH + 1.5)
    await fire(scene)
    scene.clock.turn(QUARTER.total_seconds() + 1)
    assert [await prune_ledger.run_once() for _ in range(3)] == [AGAIN, EVERY, EVERY]
    assert await ledger(scene, made) == []


async def test_a_ledger_that_is_kept_for_ever_is_never_pruned(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(10 * MONTH)
    assert await PruneLedger(scene.stores.firing, None).run_once() == EVERY
    assert len(await ledger(scene, made)) == 1


def test_the_scheduler_prunes_the_ledger_by_its_settings(prune_ledger: PruneLedger) -> None:
    assert prune_ledger._retention == SETTINGS.retention_ledger
