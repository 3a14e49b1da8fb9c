"""Queues, workers, handlers, stats."""

from __future__ import annotations

import pytest

from horae.domain.job import State
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import HandlerInfo
from tests.api.asking import Client, fields_of, get, post, submit
from tests.support.clock import ManualClock
from tests.support.scene import Scene
from tests.support.signals import Listener, first

API = "/api/v1"


async def test_a_queue_is_listed_with_what_waits_in_it(client: Client, scene: Scene) -> None:
    await scene.reach(State.QUEUED)
    await scene.submit()
    await scene.submit(delay_seconds=60)
    await scene.reach(State.SUCCESS, queue="mail")
    page = await get(client, f"{API}/queues")
    default = page["items"][0]
    assert page["next_cursor"] is None
    assert default["name"] == "default"
    assert (default["paused"], default["paused_by"], default["paused_at"]) == (False, None, None)
    assert default["depth"] == {"PENDING": 2, "QUEUED": 1, "RUNNING": 0, "RETRYING": 0}
    assert default["oldest_due_at"] == "2026-03-01T12:00:00Z"


async def test_a_pause_may_be_repeated_and_ends(client: Client, signals: InProcessSignals, clock: ManualClock) -> None:
    await submit(client, queue="mail")
    due = Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:
        paused = await post(client, f"{API}/queues/mail/pause")
        assert (paused["paused"], paused["paused_at"]) == (True, "2026-03-01T12:00:00Z")
        told = await first(events)
        assert (told.kind, dict(told.data)) == ("queue", {"name": "mail", "paused": True})
    clock.turn(5)
    assert await post(client, f"{API}/queues/mail/pause") == paused
    assert due.woken == 0
    resumed = await post(client, f"{API}/queues/mail/resume")
    assert (resumed["paused"], resumed["paused_by"]) == (False, None)
    assert await post(client, f"{API}/queues/mail/resume") == resumed
    assert due.woken == 2


async def test_a_queue_that_nobody_uses_may_be_paused_and_resumed(client: Client) -> None:
    assert (await post(client, f"{API}/queues/later/pause"))["paused"] is True
    assert [queue["name"] for queue in (await get(client, f"{API}/queues"))["items"]] == ["later"]
    gone = await post(client, f"{API}/queues/later/resume")
    assert (gone["name"], gone["paused"], gone["depth"]["PENDING"], gone["oldest_due_at"]) == ("later", False, 0, None)
    assert (await get(client, f"{API}/queues"))["items"] == []


@pytest.mark.parametrize("name", ["A", "a%20b", "-x", "x" * 65])
async def test_what_is_no_name_of_a_queue_is_refused(client: Client, name: str) -> None:
    assert set(fields_of(await post(client, f"{API}/queues/{name}/pause", status=422))) == {"name"}


async def test_queues_are_paged_by_name(client: Client) -> None:
    for name in ("c", "a", "b"):
        await submit(client, queue=name)
    page = await get(client, f"{API}/queues", params={"limit": 2})
    rest = await get(client, f"{API}/queues", params={"limit": 2, "cursor": page["next_cursor"]})
    assert [queue["name"] for queue in page["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None


async def test_workers_are_listed_alive_and_dead(client: Client, scene: Scene, clock: ManualClock) -> None:
    dead = await scene.new_worker(name="gone")
    await scene.kill(dead)
    await scene.run()
    clock.turn(1)
    workers = {worker["id"]: worker for worker in (await get(client, f"{API}/workers"))["items"]}
    assert (workers[dead]["state"], workers[dead]["name"]) == ("DEAD", "gone")
    mine = workers[scene.worker]
    assert (mine["state"], mine["slots"], mine["running"], mine["queues"]) == ("ALIVE", 10, 1, ["default"])
    assert mine["handlers"] == ["noop"]


async def test_a_worker_of_every_queue_is_listed_as_such(client: Client, scene: Scene) -> None:
    mine = await scene.new_worker(queues=("*",))
    workers = {worker["id"]: worker for worker in (await get(client, f"{API}/workers"))["items"]}
    assert workers[mine]["queues"] == ["*"]


async def test_handlers_are_listed_the_built_in_and_the_registered(client: Client, scene: Scene) -> None:
    info = HandlerInfo("mail.send", {"type": "object"}, {"queue": "mail"}, "7", "Sends mail.")
    await scene.stores.registry.remember([info])
    handlers = {handler["name"]: handler for handler in (await get(client, f"{API}/handlers"))["items"]}
    assert {"echo", "fail", "http", "noop", "sleep", "mail.send"} == set(handlers)
    assert handlers["mail.send"] == {
        "name": "mail.send", "schema": {"type": "object"}, "defaults": {"queue": "mail"}, "version": "7",
        "description": "Sends mail.",
    }  # fmt: skip


async def test_stats_tell_the_state_of_things(client: Client, scene: Scene) -> None:
    await scene.reach(State.FAILED)
    await scene.run()
    await scene.submit()
    await scene.stores.registry.renew(await scene.new_worker(slots=5), 15, {}, draining=True)
    stats = await get(client, f"{API}/stats")
    assert stats["jobs"] == {**{state.value: 0 for state in State}, "FAILED": 1, "RUNNING": 1, "PENDING": 1}
    assert stats["workers"] == {"alive": 1, "draining": 1, "slots": 10, "free": 9}
    assert [queue["name"] for queue in stats["queues"]] == ["default"]
    assert stats["oldest_due_at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("path", ["queues", "workers", "handlers", "stats"])
async def test_unknown_parameters_are_refused(client: Client, path: str) -> None:
    assert set(fields_of(await get(client, f"{API}/{path}?verbose=1", 422))) == {"verbose"}


@pytest.mark.parametrize("path", ["queues", "workers", "handlers"])
async def test_a_cursor_of_another_list_is_refused(client: Client, path: str) -> None:
    for name in ("a", "b"):
        await submit(client, queue=name)
    cursor = (await get(client, f"{API}/handlers?limit=1"))["next_cursor"]
    other = f"{API}/{path}" if path != "handlers" else f"{API}/queues"
    assert set(fields_of(await get(client, other, 422, params={"cursor": cursor}))) == {"cursor"}
