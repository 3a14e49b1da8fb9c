"""Final jobs go when their retention is over, and nothing else goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from horae.domain.job import FINAL, State
from horae.scheduler.prune import BATCH, EVERY, Prune
from horae.scheduler.service import Scheduler
from horae.store.base import Retention
from tests.scheduler.conftest import SETTINGS
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
