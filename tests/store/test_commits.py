"""MySQL: the answer to a COMMIT is lost. Whoever repeats the call then gets exactly one outcome."""

from __future__ import annotations

import asyncio

import pytest

from horae.domain.errors import OutcomeUnknown
from horae.domain.job import Outcome, Reference, State
from horae.domain.transitions import FAIL, FAIL_FOR_GOOD, SUCCEED, Move
from horae.store import database
from horae.store.base import Finish, JobFilter
from horae.store.sql import Stores
from tests.support.factories import LEASE
from tests.support.proxy import Cut, MySqlProxy
from tests.support.scene import BROKEN, Scene
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

both_cuts = pytest.mark.parametrize("cut", [Cut.UNSENT, Cut.UNANSWERED], ids=lambda cut: cut.name)

TIMES = 20


@both_cuts
async def test_a_submit_with_a_key_may_be_repeated(far: Scene, proxy: MySqlProxy, cut: Cut) -> None:
    for turn in range(TIMES):
        new = [far.new(idempotency_key=f"k{turn}", request_hash=b"1" * 32, tags=("red",))]
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.stores.jobs.submit("default", new)
        again = [far.new(idempotency_key=f"k{turn}", request_hash=b"1" * 32, tags=("red",))]
        submitted = await far.stores.jobs.submit("default", again)
        assert submitted.fresh == [cut is Cut.UNSENT]
        assert submitted.ids == [(again if cut is Cut.UNSENT else new)[0].id]
    assert (await far.stores.jobs.counts("default"))[State.PENDING] == TIMES


@both_cuts
async def test_what_a_claim_took_unheard_is_rescued_later(far: Scene, proxy: MySqlProxy, cut: Cut) -> None:
    made = (await far.stores.jobs.submit("default", [far.new() for _ in range(TIMES)])).ids
    claimed: list[Reference] = []
    for _ in range(TIMES):
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.claim(1)
    claimed += await far.claim()
    assert len(claimed) == (TIMES if cut is Cut.UNSENT else 0)
    await far.stores.dispatch.take_back(claimed)
    far.clock.turn(LEASE)
    assert await far.stores.rescue.rescue_handovers(100) == TIMES - len(claimed)
    assert [(r.id, r.token) for r in await far.claim()] == [(id_, 3) for id_ in made]


@both_cuts
async def test_a_start_may_be_repeated(far: Scene, proxy: MySqlProxy, cut: Cut) -> None:
    await far.stores.jobs.submit("default", [far.new() for _ in range(TIMES)])
    for reference in await far.claim():
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.start(reference)
        assert [run.reference for run in (await far.start(reference)).started] == [reference]
        job = await far.job(reference.id)
        assert (job.state, job.attempt, job.worker_id) == (State.RUNNING, 1, far.worker)


ENDS = [
    (SUCCEED, Outcome.SUCCESS, State.SUCCESS),
    (FAIL, Outcome.FAILED, State.RETRYING),
    (FAIL_FOR_GOOD, Outcome.FAILED, State.FAILED),
]


@both_cuts
@pytest.mark.parametrize(("move", "outcome", "state"), ENDS)
async def test_a_finish_may_be_repeated(
    far: Scene, proxy: MySqlProxy, cut: Cut, move: Move, outcome: Outcome, state: State
) -> None:
    await far.stores.jobs.submit("default", [far.new() for _ in range(TIMES)])
    for reference in await far.claim():
        await far.start(reference)
        finish = Finish(reference, move, outcome, error=None if move is SUCCEED else BROKEN)
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.stores.worker.finish(far.worker, [finish])
        again = await far.stores.worker.finish(far.worker, [finish])
        assert again[0].state in {state, None if cut is Cut.UNANSWERED else state}
        sight = await far.see(reference.id)
        assert sight.job is not None
        assert (sight.job.state, sight.job.failures) == (state, 0 if move is SUCCEED else 1)
        assert [attempt.outcome for attempt in sight.attempts] == [outcome]


@both_cuts
async def test_a_cancel_may_be_repeated(far: Scene, proxy: MySqlProxy, cut: Cut) -> None:
    for _ in range(TIMES):
        job = await far.submit()
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.stores.jobs.cancel("default", [job])
        assert await far.stores.jobs.cancel("default", [job]) == {job}
        assert (await far.job(job)).token == 1


@both_cuts
async def test_a_rescue_may_be_repeated(far: Scene, proxy: MySqlProxy, cut: Cut) -> None:
    for _ in range(5):
        run = await far.run()
        await far.kill()
        proxy.plan("COMMIT", cut)
        with pytest.raises(OutcomeUnknown):
            await far.stores.rescue.rescue_attempts(10)
        await far.stores.rescue.rescue_attempts(10)
        sight = await far.see(run.id)
        assert sight.job is not None
        assert (sight.job.state, sight.job.losses, sight.job.token) == (State.RETRYING, 1, run.token + 1)
        assert [attempt.outcome for attempt in sight.attempts] == [Outcome.LOST]
        far.worker = await far.new_worker()


async def test_a_commit_that_is_never_answered_is_given_up(
    far: Scene, proxy: MySqlProxy, mysql_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    new = far.new()
    proxy.plan("COMMIT", Cut.SILENT)
    with pytest.raises(OutcomeUnknown):
        await far.stores.jobs.submit("default", [new])
    assert await mysql_stores.jobs.get("default", new.id) is not None


@pytest.mark.parametrize("cut", [Cut.UNSENT, Cut.SILENT], ids=lambda cut: cut.name)
async def test_a_caller_that_is_cancelled_while_it_commits_leaves_a_whole_job_or_none(
    far: Scene, proxy: MySqlProxy, cut: Cut, mysql_stores: Stores
) -> None:
    for _ in range(TIMES):
        new = far.new(tags=("red",))
        proxy.plan("COMMIT", cut)
        task = asyncio.create_task(far.stores.jobs.submit("default", [new]))
        await eventually(lambda: proxy.planned == 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        page = await mysql_stores.jobs.page("default", JobFilter(tag="red"), 1)
        assert (await mysql_stores.jobs.get("default", new.id) is None) is (new.id not in {job.id for job in page})
