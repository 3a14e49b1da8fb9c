"""Starts and ends are written in batches; an outage is waited for, and a bad record spoils nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from horae.domain.errors import OutcomeUnknown, StoreUnavailable
from horae.domain.ids import WorkerId
from horae.domain.job import Outcome, Reference, State
from horae.domain.transitions import FAIL, SUCCEED
from horae.store.base import Finish, Finished, Run
from horae.worker.ports import Ports
from horae.worker.recorder import NotStarted, Recorder
from tests.dispatch.faults import Faults
from tests.support.factories import HANDLER, LEASE
from tests.support.scene import BROKEN, NAMESPACE, Scene, with_token

AWAY = StoreUnavailable("away")
UNKNOWN = OutcomeUnknown("no answer to COMMIT")


@pytest.fixture
def recorder(ports: Ports) -> Recorder:
    return Recorder(ports.store, [HANDLER], LEASE)


def success(reference: Reference, result: str | None = None) -> Finish:
    return Finish(reference, SUCCEED, Outcome.SUCCESS, result)


async def queued(scene: Scene, count: int) -> list[Reference]:
    return [await scene.queued() for _ in range(count)]


async def running(scene: Scene, count: int) -> list[Reference]:
    references = await queued(scene, count)
    await scene.start(*references)
    return references


async def finish_all(recorder: Recorder, worker: WorkerId, finishes: list[Finish]) -> list[Finished | BaseException]:
    return await asyncio.gather(*[recorder.finish(worker, each) for each in finishes], return_exceptions=True)


def told(answers: list[Run | NotStarted]) -> list[object]:
    """STARTED or why not."""
    return [answer if isinstance(answer, NotStarted) else "started" for answer in answers]


# -------------------------------------------------------------------------------------------------------------- starts


async def test_each_reference_is_told_what_became_of_it(scene: Scene, recorder: Recorder) -> None:
    good, other = await queued(scene, 2)
    foreign = await scene.queued(handler="elsewhere")
    paused = await scene.queued(queue="mail")
    await scene.stores.queues.pause(NAMESPACE, "mail", "me")
    asked = [paused, with_token(good, 1), other, foreign, good]
    answers = await recorder.start(scene.worker, asked)
    assert told(answers) == [NotStarted.REFUSED, NotStarted.STALE, "started", NotStarted.FOREIGN, "started"]
    assert [answer.id for answer in answers if isinstance(answer, Run)] == [other.id, good.id]


async def test_under_a_dead_row_nothing_starts(scene: Scene, recorder: Recorder) -> None:
    reference = await scene.queued()
    await scene.kill()
    assert await recorder.start(scene.worker, [reference]) == [NotStarted.DEAD]
    assert (await scene.job(reference.id)).state is State.QUEUED


async def test_starts_of_the_same_moment_are_one_statement(scene: Scene, recorder: Recorder, faults: Faults) -> None:
    references = await queued(scene, 6)
    held = faults.hold("start")
    first = asyncio.create_task(recorder.start(scene.worker, references[:1]))
    await held.made.wait()
    others = [asyncio.create_task(recorder.start(scene.worker, [each])) for each in references[1:]]
    await asyncio.sleep(0)
    held.release()
    assert told([answer for each in await asyncio.gather(first, *others) for answer in each]) == ["started"] * 6
    assert faults.count("start") == 2


async def test_starts_under_an_old_and_a_new_id_don_t_mix(scene: Scene, recorder: Recorder) -> None:
    old, new = await queued(scene, 2)
    younger = await scene.new_worker()
    answers = await asyncio.gather(recorder.start(scene.worker, [old]), recorder.start(younger, [new]))
    assert told([answer for each in answers for answer in each]) == ["started", "started"]
    assert (await scene.job(old.id)).worker_id == scene.worker
    assert (await scene.job(new.id)).worker_id == younger


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "answer lost"])
async def test_a_start_is_sent_until_it_is_answered(
    scene: Scene, recorder: Recorder, faults: Faults, lost: bool
) -> None:
    reference = await scene.queued()
    (faults.lose if lost else faults.refuse)("start", AWAY, UNKNOWN)
    assert told(await recorder.start(scene.worker, [reference])) == ["started"]
    assert (await scene.job(reference.id)).attempt == 1


async def test_one_that_can_not_be_started_keeps_nobody_else_from_it(
    scene: Scene, recorder: Recorder, faults: Faults
) -> None:
    references = await queued(scene, 3)
    faults.refuse("start", ValueError("a row of nonsense"))
    faults.hold("start").release()
    faults.refuse("start", ValueError("a row of nonsense"))
    assert told(await recorder.start(scene.worker, references)) == ["started", NotStarted.BROKEN, "started"]


# ---------------------------------------------------------------------------------------------------------------- ends


async def test_ends_of_the_same_moment_are_one_statement(scene: Scene, recorder: Recorder, faults: Faults) -> None:
    references = await running(scene, 4)
    ends = [success(references[0]), success(references[1], '{"a":1}')]
    ends += [Finish(each, FAIL, Outcome.FAILED, error=BROKEN, delay=1.0) for each in references[2:]]
    finished = await finish_all(recorder, scene.worker, ends)
    states = [each.state for each in finished if isinstance(each, Finished)]
    assert states == [State.SUCCESS, State.SUCCESS, State.RETRYING, State.RETRYING]
    assert faults.count("finish") == 1
    assert (await scene.job(references[1].id)).result == '{"a":1}'


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "answer lost"])
async def test_an_end_is_written_until_it_is_answered(
    scene: Scene, recorder: Recorder, faults: Faults, lost: bool
) -> None:
    [reference] = await running(scene, 1)
    (faults.lose if lost else faults.refuse)("finish", AWAY, UNKNOWN)
    finished = await recorder.finish(scene.worker, success(reference))
    assert finished.state is State.SUCCESS
    assert len((await scene.see(reference.id)).attempts) == 1


async def test_an_end_of_a_run_that_is_somebody_elses_changes_nothing(scene: Scene, recorder: Recorder) -> None:
    [reference] = await running(scene, 1)
    other = await scene.new_worker()
    assert (await recorder.finish(other, success(reference))).state is None
    assert (await recorder.finish(scene.worker, success(with_token(reference, 1)))).state is None
    assert (await scene.job(reference.id)).state is State.RUNNING


async def test_one_that_can_not_be_written_keeps_nobody_else_from_it(scene: Scene, recorder: Recorder) -> None:
    references = await running(scene, 3)
    results = ["1", "half a \ud83d pair", "3"]
    ends = [success(reference, result) for reference, result in zip(references, results, strict=True)]
    first, poison, third = await finish_all(recorder, scene.worker, ends)
    assert isinstance(poison, Exception)
    assert [each.state for each in (first, third) if isinstance(each, Finished)] == [State.SUCCESS] * 2
    assert (await scene.job(references[1].id)).state is State.RUNNING
