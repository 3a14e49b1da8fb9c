"""Progress: the latest word is written, a few times a second at most, and never after the run's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from horae.domain.errors import StoreUnavailable
from horae.domain.job import Reference
from horae.domain.transitions import SUCCEED
from horae.signals.base import Event
from horae.signals.inprocess import InProcessSignals
from horae.worker.ports import Ports
from horae.worker.progress import PAUSE, Progress
from tests.dispatch.faults import Faults
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import eventually


@pytest.fixture
async def reference(scene: Scene) -> Reference:
    return (await scene.run()).reference


@pytest.fixture
async def progress(ports: Ports, scene: Scene, reference: Reference) -> AsyncIterator[Progress]:
    progress = Progress(ports, scene.worker, reference, NAMESPACE)
    yield progress
    await progress.close()


async def written(scene: Scene, reference: Reference) -> object:
    return (await scene.job(reference.id)).progress


def says(value: float, message: str) -> dict[str, object]:
    return {"value": value, "message": message}


async def test_a_word_is_written_and_told_to_who_watches(
    scene: Scene, progress: Progress, reference: Reference, signals: InProcessSignals
) -> None:
    async with signals.watch(NAMESPACE) as events:
        await progress.progress(0.5, "half")
        event = await anext(events)
    assert (event.kind, event.data) == ("job", {"id": reference.id, "progress": says(0.5, "half")})
    assert await written(scene, reference) == says(0.5, "half")


async def test_of_many_words_the_last_one_is_written_after_a_pause(
    scene: Scene, progress: Progress, reference: Reference, faults: Faults
) -> None:
    for number in range(10):
        await progress.progress(number / 10, f"step {number}")
    await scene.clock.asleep()
    assert await written(scene, reference) == says(0.9, "step 9")
    await progress.progress(1, "all")
    assert scene.clock.waiting == pytest.approx([PAUSE])
    assert faults.count("progress") == 1
    scene.clock.turn(PAUSE)
    await eventually(lambda: faults.count("progress") == 2)


async def test_the_last_word_before_the_end_is_written_without_a_pause(
    scene: Scene, progress: Progress, reference: Reference
) -> None:
    await progress.progress(0.1, "first")
    await scene.clock.asleep()
    await progress.progress(1, "last")
    await progress.close()
    assert await written(scene, reference) == says(1, "last")


async def test_after_the_end_nothing_is_written_any_more(progress: Progress, faults: Faults) -> None:
    await progress.close()
    await progress.progress(1, "from a thread that outlived its attempt")
    await progress.close()
    assert faults.count("progress") == 0


async def test_nothing_is_told_of_a_run_that_is_somebody_elses_by_now(
    scene: Scene, progress: Progress, reference: Reference, signals: InProcessSignals
) -> None:
    await scene.finish(reference, SUCCEED)
    async with signals.watch(NAMESPACE) as events:
        await progress.progress(0.5, "half")
        await progress.close()
        signals.emit(marker := Event("job", NAMESPACE))
        assert await anext(events) is marker
    assert await written(scene, reference) is None


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a bug")], ids=repr)
async def test_a_word_that_can_not_be_written_is_lost_and_nothing_else(
    scene: Scene, progress: Progress, reference: Reference, faults: Faults, error: Exception
) -> None:
    faults.refuse("progress", error)
    await progress.progress(0.1, "lost")
    await scene.clock.asleep()
    await progress.progress(0.2, "heard")
    await progress.close()
    assert await written(scene, reference) == says(0.2, "heard")


async def test_telling_waits_for_no_database(progress: Progress, faults: Faults) -> None:
    held = faults.hold("progress")
    async with asyncio.timeout(1):
        for number in range(5):
            await progress.progress(number / 5, "")
    held.release()
