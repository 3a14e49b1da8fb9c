"""A started job: its handler runs, its end is written, and if it is tried again something brings it back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import orjson
import pytest

from horae.broker.inprocess import InProcessBroker
from horae.domain.errors import BrokerUnavailable, OutcomeUnknown, StoreUnavailable
from horae.domain.job import Outcome, Reference, State
from horae.domain.transitions import RELEASE
from horae.handlers import JobContext
from horae.runtime.metrics import Metrics
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import Finish
from horae.store.sql import Stores
from horae.worker import runs
from horae.worker.table import Ask
from tests.dispatch.faults import Faults, Logs
from tests.dispatch.fixtures import counted
from tests.support.brokers import Inbox, consuming
from tests.support.factories import LEASE
from tests.support.scene import NAMESPACE, Scene
from tests.support.signals import Listener
from tests.support.waiting import eventually
from tests.worker.shop import Shop

AWAY = StoreUnavailable("away")


async def run(shop: Shop, handler: str, **fields: Any) -> Reference:
    """Runs a job of that handler to the end of its attempt."""
    reference = await shop.scene.queued(handler=handler, **fields)
    await shop.take(reference)
    await eventually(lambda: shop.table.get(reference) is None)
    return reference


# ----------------------------------------------------------------------------------------------------------- its end


@pytest.mark.parametrize(
    ("handler", "fields", "state", "outcome"),
    [
        ("noop", {}, State.SUCCESS, "success"),
        ("fail", {}, State.RETRYING, "failed"),
        ("fail", {"max_retries": 0}, State.FAILED, "failed"),
        ("again", {"max_retries": 0}, State.RETRYING, "retried"),
        ("discard", {}, State.FAILED, "failed"),
        ("gated", {"timeout_seconds": 0.02}, State.RETRYING, "timed_out"),
        ("gated", {"timeout_seconds": 0.02, "max_retries": 0}, State.FAILED, "timed_out"),
        ("noop", {"payload": "[]"}, State.FAILED, "failed"),
    ],
)
async def test_the_end_of_an_attempt_is_written_told_and_counted(
    shop: Shop, metrics: Metrics, handler: str, fields: dict[str, Any], state: State, outcome: str
) -> None:
    async with shop.signals.watch(NAMESPACE) as events:
        reference = await run(shop, handler, **fields)
        told = [(await anext(events)).data["state"] for _ in range(2)]
    assert await shop.state(reference) is state
    assert await shop.outcomes(reference) == [outcome]
    assert told == [State.RUNNING, state]
    assert counted(metrics, "attempts_total", queue="default", outcome=outcome) == 1
    assert counted(metrics, "jobs_finished_total", queue="default", state=state.value) == (state is not State.RETRYING)


async def test_a_failed_attempt_is_a_line_in_the_log_without_what_its_handler_said(shop: Shop, logs: Logs) -> None:
    reference = await run(shop, "discard")
    (line,) = [entry for entry in logs if entry["event"] == "attempt.failed"]
    told = (line["log_level"], line["job_id"], line["handler"], line["attempt"], line["error"], line["job_is"])
    assert told == ("warning", reference.id, "discard", 1, "Discard", State.FAILED)
    assert "no such user" not in str(line)


async def test_what_succeeds_is_no_line_in_the_log(shop: Shop, logs: Logs) -> None:
    await run(shop, "noop")
    assert not [entry for entry in logs if entry["event"] == "attempt.failed"]


async def test_a_result_is_kept(shop: Shop) -> None:
    shop.handlers.gate.set()
    reference = await run(shop, "gated")
    assert (await shop.job(reference)).result == '"through"'


async def test_an_ended_run_makes_room_in_the_window(shop: Shop, signals: InProcessSignals) -> None:
    room = Listener(signals, Topic.ROOM)
    await run(shop, "noop")
    assert room.woken == 1


async def test_the_timeout_counts_from_the_sending_of_the_start(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await scene.queued(handler="gated", timeout_seconds=10)
    held = faults.hold("start")
    shop.receive(reference)
    await held.made.wait()
    scene.clock.turn(9.98)
    held.release()
    await eventually(shop.table.empty.is_set)
    assert await shop.outcomes(reference) == ["timed_out"]


async def test_its_last_progress_is_heard_and_then_nothing(shop: Shop, faults: Faults) -> None:
    contexts: list[JobContext] = []

    @shop.handlers.registry.handler("telling")
    async def telling(ctx: JobContext) -> None:
        contexts.append(ctx)
        await ctx.progress(0.5, "half")
        await eventually(lambda: len(shop.scene.clock.waiting) == 1)
        await ctx.progress(1, "done")

    shop.runs.recorder._handlers = shop.handlers.registry.names()
    async with shop.signals.watch(NAMESPACE) as events:
        await run(shop, "telling")
        told = [(await anext(events)).data.get("progress") for _ in range(4)]
    assert told == [None, {"value": 0.5, "message": "half"}, {"value": 1.0, "message": "done"}, None]
    await contexts[0].progress(0.1, "too late")
    assert faults.count("progress") == 2


async def test_a_run_whose_row_is_lost_writes_nothing(shop: Shop, faults: Faults) -> None:
    reference = await shop.begin()
    entry = shop.table.get(reference)
    assert entry is not None
    entry.end(Ask.DROP)
    await shop.idle()
    assert faults.count("finish") == 0


async def test_an_end_that_comes_after_its_rescue_changes_nothing(scene: Scene, shop: Shop, metrics: Metrics) -> None:
    reference = await shop.begin()
    await scene.stores.worker.finish(shop.lease.worker_id, [Finish(reference, RELEASE, Outcome.RELEASED)])
    shop.handlers.gate.set()
    await shop.idle()
    assert await shop.outcomes(reference) == ["released"]
    assert counted(metrics, "stale_writes_total") == 1
    assert counted(metrics, "attempts_total", queue="default", outcome="success") == 0


# ------------------------------------------------------------------------------------------------------- in adversity


@pytest.mark.parametrize("error", [AWAY, OutcomeUnknown("no answer")], ids=repr)
async def test_an_end_waits_for_the_database(shop: Shop, faults: Faults, error: Exception) -> None:
    faults.lose("finish", error, error)
    reference = await run(shop, "noop")
    assert await shop.outcomes(reference) == ["success"]


async def test_an_end_that_the_database_refuses_is_a_failure_that_says_so_and_no_more(
    shop: Shop, faults: Faults, logs: Logs
) -> None:
    faults.refuse("finish", ValueError("UPDATE jobs SET result='secret'"))
    reference = await run(shop, "noop")
    job = await shop.job(reference)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.type == "unwritable"
    assert "secret" not in orjson.dumps(job.error.as_dict()).decode()


async def test_an_end_that_can_not_be_written_at_all_is_given_back_by_the_next_comparison(
    shop: Shop, faults: Faults, logs: Logs
) -> None:
    faults.refuse("finish", ValueError("a bug"), ValueError("a bug"))
    reference = await run(shop, "noop")
    assert await shop.state(reference) is State.RUNNING
    await shop.lease.run_once()
    assert await shop.state(reference) is State.PENDING


async def test_what_a_handler_leaves_behind_can_not_keep_its_end_from_being_written(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    @shop.handlers.registry.handler("careless")
    async def careless(_ctx: JobContext) -> str:
        tasks.append(asyncio.current_task())
        return "done"

    shop.runs.recorder._handlers = shop.handlers.registry.names()
    held = faults.hold("finish")
    reference = await scene.queued(handler="careless")
    await shop.take(reference)
    await held.made.wait()
    assert tasks[0] is not None
    tasks[0].cancel()
    held.release()
    await shop.idle()
    assert await shop.outcomes(reference) == ["success"]


# ---------------------------------------------------------------------------------------------------------- once more


async def test_a_retry_rides_a_delay_message_and_its_row_waits_a_little_longer(
    scene: Scene, shop: Shop, broker: InProcessBroker
) -> None:
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        reference = await run(shop, "again", payload='{"delay": 3}')
        job = await shop.job(reference)
        assert (job.run_at, job.wake_at) == (scene.at(3), scene.at(3 + runs.CARRIED_GRACE))
        await scene.clock.asleep()
        scene.clock.turn(3)
        await inbox.holds(1)
        assert inbox.references == [Reference(reference.id, job.token)]
        await shop.take(*inbox.references)
        await shop.idle()
    assert await shop.outcomes(reference) == ["retried", "retried"]


@pytest.mark.parametrize("delay", [5000, 86400])
async def test_a_retry_far_ahead_waits_in_its_row(scene: Scene, shop: Shop, faults: Faults, delay: int) -> None:
    job = await shop.job(await run(shop, "again", payload=f'{{"delay": {delay}}}'))
    assert job.wake_at == job.run_at == scene.at(delay)
    assert faults.count("publish_later") == 0


async def test_no_more_retries_ride_than_the_window_allows_even_if_all_fail_at_once(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    shop.runs.riding.limit = 2
    references = [await scene.queued(handler="fail") for _ in range(4)]
    await shop.take(*references)
    await shop.idle()
    jobs = [await shop.job(each) for each in references]
    assert sum(job.wake_at != job.run_at for job in jobs) == 2
    assert faults.count("publish_later") == 2


async def test_a_retry_that_has_arrived_leaves_its_place_to_another(
    shop: Shop, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CARRIED_GRACE", 0.0)
    shop.runs.riding.limit = 1
    for count in (1, 2):
        await run(shop, "again", payload='{"delay": 0}')
        await eventually(lambda count=count: faults.count("publish_later") == count)  # type: ignore[misc]
        await eventually(lambda: shop.runs.riding._count == 0)


async def test_a_retry_in_a_paused_queue_waits_in_its_row_and_takes_no_place(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    reference = await shop.begin(timeout_seconds=0.05)
    await shop.pause_queue()
    await eventually(shop.table.empty.is_set)
    job = await shop.job(reference)
    assert job.state is State.RETRYING
    assert job.wake_at == job.run_at
    assert faults.count("publish_later") == 0
    await eventually(lambda: shop.runs.riding._count == 0, 1.0)


async def test_an_end_that_was_refused_takes_no_place(shop: Shop, faults: Faults, logs: Logs) -> None:
    faults.refuse("finish", ValueError("a bug"))
    reference = await run(shop, "fail")
    assert await shop.state(reference) is State.FAILED
    await eventually(lambda: shop.runs.riding._count == 0, 1.0)


async def test_a_delay_message_that_is_not_taken_leaves_the_job_to_its_row(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    faults.refuse("publish_later", BrokerUnavailable("away"))
    reference = await run(shop, "again", payload='{"delay": 3}')
    await eventually(lambda: faults.count("publish_later") == 1)
    scene.clock.turn(3 + runs.CARRIED_GRACE)
    [claimed] = await scene.claim()
    assert claimed.id == reference.id


async def test_a_retry_that_no_message_brings_back_wakes_the_schedulers(shop: Shop, signals: InProcessSignals) -> None:
    schedulers = Listener(signals, Topic.DUE)
    await run(shop, "fail")
    assert schedulers.woken == 0
    shop.runs.riding.limit = 0
    await run(shop, "fail")
    assert schedulers.woken == 1


async def test_while_it_runs_its_row_wakes_nobody_before_its_timeout_and_two_leases(scene: Scene, shop: Shop) -> None:
    reference = await shop.begin(timeout_seconds=60)
    assert (await shop.job(reference)).wake_at == scene.at(60 + 2 * LEASE)


async def test_a_success_waits_for_a_database_that_is_locked_or_full(
    shop: Shop, faults: Faults, logs: Logs, stores: Stores
) -> None:
    reference = await shop.begin()
    async with locked(stores):
        shop.handlers.gate.set()
        await eventually(lambda: faults.count("finish") > 2 or shop.table.get(reference) is None)
    await shop.idle()
    assert await shop.outcomes(reference) == ["success"]


@asynccontextmanager
async def locked(stores: Stores) -> AsyncIterator[None]:
    """Another process writes, for longer than a writer waits."""
    async with stores.database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(stores.database.engine.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
