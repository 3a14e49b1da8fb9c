"""Redis killed, stopped, absent or talking nonsense: signals go on without it and with it again, all by themselves."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from structlog.testing import CapturingLogger

from horae.domain.errors import SettingsError
from horae.runtime.clock import SystemClock
from horae.signals import redis as module
from horae.signals.base import Event, Topic
from horae.signals.redis import RedisSignals
from tests.support.signals import Listener, RedisServer, first, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

BUFFER = 50
"""events that wait to be sent"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    program = shutil.which("redis-server", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if not program:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not installed")
    own = RedisServer(program, tmp_path)
    yield own
    own.kill()


def signals(url: str, probe_seconds: float = 10.0) -> RedisSignals:
    return RedisSignals(url, SystemClock(), probe_seconds=probe_seconds, buffer_limit=BUFFER)


async def passes(sender: RedisSignals, receiver: RedisSignals) -> bool:
    """Whether an event gets through, within some seconds."""
    async with receiver.watch("passes") as events, asyncio.timeout(15):
        while True:
            sender.emit(Event("job", "passes"))
            try:
                async with asyncio.timeout(0.05):
                    return bool(await anext(events))
            except TimeoutError:
                continue


async def published(redis: Redis) -> int:
    """How many messages the server was given."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_publish", {}).get("calls", 0))


async def test_a_killed_redis_that_comes_back_is_used_again(server: RedisServer) -> None:
    server.start()
    here, there = signals(server.url), signals(server.url)
    heard = Listener(there, Topic.CANCEL)
    async with running(here, there):
        await eventually(lambda: here.reliable and there.reliable)
        for _ in range(3):
            before = heard.woken
            server.kill()
            await eventually(lambda: not (here.reliable or there.reliable))
            assert heard.woken == before + 1
            server.start()
            await eventually(lambda: here.reliable and there.reliable)
            assert heard.woken == before + 2
            assert await passes(here, there)
            assert await passes(there, here)
        async with Redis.from_url(server.url) as redis:
            ours = [client for client in await redis.client_list() if client["name"] == "horae"]
            assert len(ours) == 4


async def test_without_redis_all_that_is_local_works_and_nothing_piles_up(server: RedisServer) -> None:
    here, there = signals(server.url), signals(server.url)
    heard = Listener(here, Topic.DUE)
    async with here.watch("default") as own:
        for n in range(20 * BUFFER):
            here.hint(Topic.DUE)
            here.emit(Event("job", "default", {"n": n}))
        assert heard.woken == 20 * BUFFER
        assert (await anext(own)).data == {"n": 0}
    server.start()
    async with running(there), there.watch("default") as others:
        await eventually(lambda: there.reliable)
        async with running(here):
            kept = [(await first(others)).data["n"] for _ in range(BUFFER)]
    assert kept == list(range(19 * BUFFER, 20 * BUFFER))


async def test_a_watch_begun_without_redis_joins_in_when_it_comes(server: RedisServer) -> None:
    here, there = signals(server.url), signals(server.url)
    async with running(here, there), there.watch("default") as events:
        assert not there.reliable
        server.start()
        await eventually(lambda: here.reliable and there.reliable)
        here.emit(Event("job", "default", {"n": 1}))
        assert (await first(events)).data == {"n": 1}


async def test_a_hint_that_could_not_be_sent_is_sent_later(server: RedisServer) -> None:
    server.start()
    here, there = signals(server.url), signals(server.url)
    heard = Listener(there, Topic.DUE)
    async with running(there):
        await eventually(lambda: there.reliable)
        before = heard.woken
        here.hint(Topic.DUE)
        async with running(here):
            await eventually(lambda: heard.woken == before + 1)


async def test_a_hint_that_was_refused_is_sent_again(server: RedisServer) -> None:
    server.start()
    here, there = signals(server.url), signals(server.url)
    heard = Listener(there, Topic.DUE)
    async with running(here, there), Redis.from_url(server.url) as redis:
        await eventually(lambda: here.reliable and there.reliable)
        await redis.acl_setuser("default", enabled=True, commands=["-publish"])
        before = heard.woken
        here.hint(Topic.DUE)
        await eventually(lambda: not here.reliable)
        await redis.acl_setuser("default", enabled=True, commands=["+publish"])
        await eventually(lambda: heard.woken > before)
        assert there.reliable


async def test_hints_that_follow_each_other_are_merged(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = 0.05
    monkeypatch.setattr(module, "MERGE_SECONDS", pause)
    server.start()
    here, loop = signals(server.url), asyncio.get_running_loop()
    async with running(here), Redis.from_url(server.url) as redis:
        await eventually(lambda: here.reliable)
        before, began = await published(redis), loop.time()
        while loop.time() < began + 5 * pause:
            here.hint(Topic.ROOM)
            await asyncio.sleep(0.001)
        assert 1 <= await published(redis) - before <= (loop.time() - began) / pause + 2


async def test_close_sends_what_is_left(server: RedisServer) -> None:
    server.start()
    here, there = signals(server.url), signals(server.url)
    heard = Listener(there, Topic.DUE)
    async with running(there):
        await eventually(lambda: there.reliable)
        before = heard.woken
        here.hint(Topic.DUE)
        await here.close()
        await eventually(lambda: heard.woken == before + 1)


async def test_close_without_redis_is_quick_and_quiet(server: RedisServer) -> None:
    here = signals(server.url)
    here.hint(Topic.DUE)
    async with asyncio.timeout(2):
        await here.close()


async def test_a_redis_that_says_nothing_is_noticed(server: RedisServer) -> None:
    server.start()
    here, there = signals(server.url, probe_seconds=0.3), signals(server.url, probe_seconds=0.3)
    async with running(here, there):
        await eventually(lambda: here.reliable and there.reliable)
        server.send(signal.SIGSTOP)
        await eventually(lambda: not (here.reliable or there.reliable))
        here.hint(Topic.DUE)
        server.send(signal.SIGCONT)
        await eventually(lambda: here.reliable and there.reliable)
        assert await passes(here, there)


class Proxy:
    """Between us and Redis; it can swallow what the server tells its subscribers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.muted = False
        self._pumps: list[asyncio.Task[None]] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        subscribers: set[asyncio.StreamWriter] = set()

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if b"SUBSCRIBE" in data:
                    subscribers.add(writer)
                if not (self.muted and target in subscribers):
                    target.write(data)
            target.close()

        self._pumps += [asyncio.create_task(pump(reader, server_writer))]
        self._pumps += [asyncio.create_task(pump(server_reader, writer))]

    async def close(self) -> None:
        await asyncio.gather(*self._pumps, return_exceptions=True)


async def test_a_subscription_that_went_deaf_is_noticed(server: RedisServer) -> None:
    server.start()
    proxy = Proxy(server.port)
    async with await asyncio.start_server(proxy.connected, "127.0.0.1") as listening:
        here = signals(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0", probe_seconds=0.2)
        async with running(here):
            await eventually(lambda: here.reliable)
            proxy.muted = True
            await eventually(lambda: not here.reliable)
            proxy.muted = False
            await eventually(lambda: here.reliable)
    await proxy.close()


async def test_a_quiet_session_proves_itself_and_lasts(server: RedisServer) -> None:
    server.start()
    here = signals(server.url, probe_seconds=0.05)
    heard = Listener(here, Topic.DUE)
    async with running(here), Redis.from_url(server.url) as redis:
        await eventually(lambda: here.reliable)
        before = await published(redis)
        async with asyncio.timeout(10):
            while await published(redis) < before + 10:
                await asyncio.sleep(0.01)
        assert here.reliable
        assert heard.woken == 1


async def test_nonsense_on_every_channel_does_no_harm(server: RedisServer) -> None:
    server.start()
    here = signals(server.url)
    heard = Listener(here, Topic.DUE)
    nonsense = [b"", b"\xff\xfe", b"null", b"[]", b"{}", b'["a","default",5]', b'["a","default",[1]]', b"[1,2,3]"]
    nonsense += [b'["a","default",[["job",7]]]', b'["a","other",[["job",{"n":1}]]]', secrets.token_bytes(100_000)]
    async with running(here), Redis.from_url(server.url) as redis, here.watch("default") as events:
        await eventually(lambda: here.reliable)
        channels = await redis.pubsub_channels()
        assert len(channels) == 3
        for channel in channels:
            for message in nonsense:
                await redis.publish(channel, message)
        await redis.publish("horae.v1.0.events.default", b'["a","default",[["job",{"n":2}]]]')
        assert await first(events) == Event("job", "default", {"n": 2})
        assert here.reliable
        assert heard.woken == 1 + len(nonsense)


async def test_databases_of_one_server_are_apart(server: RedisServer) -> None:
    server.start()
    here, other = signals(server.url), signals(server.url.removesuffix("0") + "1")
    async with running(here, other), here.watch("default") as events:
        await eventually(lambda: here.reliable and other.reliable)
        other.emit(Event("job", "default", {"n": 1}))
        assert await passes(other, other)
        assert await passes(here, here)
        here.emit(Event("job", "default", {"n": 2}))
        assert (await first(events)).data == {"n": 2}


async def test_run_can_be_cancelled_at_any_moment(server: RedisServer) -> None:
    server.start()
    for _ in range(60):
        here = signals(server.url)
        async with running(here):
            here.hint(Topic.DUE)
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)


async def test_run_can_be_cancelled_at_the_moment_that_the_session_fails(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    here = signals(server.url)
    receive = here._receive

    async def failing(pubsub: PubSub) -> None:
        try:
            await receive(pubsub)
        finally:
            raise ConnectionResetError

    monkeypatch.setattr(here, "_receive", failing)
    async with running(here):
        await eventually(lambda: here.reliable)


async def test_a_watch_can_be_cancelled_at_any_moment(server: RedisServer) -> None:
    server.start()
    here = signals(server.url)

    async def watching() -> None:
        async with here.watch("default") as events:
            await anext(events)

    async with running(here), Redis.from_url(server.url) as redis:
        await eventually(lambda: here.reliable)
        for _ in range(30):
            task = asyncio.create_task(watching())
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(10):
            while len(await redis.pubsub_channels()) > 1:
                await asyncio.sleep(0.01)


async def test_a_wrong_password_is_no_end_and_is_not_shown(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(module, "log", log)
    server.start()
    here = signals(f"redis://:s3cret-w0rd@127.0.0.1:{server.port}/0")
    async with running(here):
        await eventually(lambda: "AUTH" in repr(log.calls))
        assert not here.reliable
    told = [call.kwargs["error"] for call in log.calls]
    assert len(told) == len(set(told))
    assert "s3cret" not in repr(log.calls)


@pytest.mark.parametrize("url", ["redis://user:pa/ss-s3cret@host/0", "redis://host:s3cret/0", "redis://h/0?s3cret=1"])
def test_a_url_that_cannot_be_read_stops_at_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="HORAE_REDIS_URL") as caught:
        signals(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
