"""What every implementation of signals promises, seen from two processes' ends of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from horae.runtime.clock import SystemClock
from horae.signals.base import Event, Signals, Topic
from horae.signals.inprocess import InProcessSignals
from horae.signals.redis import RedisSignals
from tests.support.services import address
from tests.support.signals import Listener, first, running
from tests.support.waiting import eventually

LIMIT = 10
"""events that a watcher of these signals holds"""

MANY = 1000
"""events, more than fit into one message"""


@dataclass(frozen=True)
class Ends:
    """Two users of the same signals: for Redis two connections, in one process the same object twice."""

    here: Signals
    there: Signals


@asynccontextmanager
async def in_process() -> AsyncIterator[Ends]:
    signals = InProcessSignals(watcher_limit=LIMIT)
    async with running(signals):
        yield Ends(signals, signals)


@asynccontextmanager
async def by_redis() -> AsyncIterator[Ends]:
    url = address("HORAE_REDIS_URL")
    prefix = f"test.{secrets.token_hex(8)}"
    here, there = (RedisSignals(url, SystemClock(), prefix=prefix, watcher_limit=LIMIT) for _ in range(2))
    async with running(here, there):
        await eventually(lambda: here.reliable and there.reliable)
        yield Ends(here, there)


@pytest.fixture(params=[in_process, pytest.param(by_redis, marks=pytest.mark.service)], ids=["in-process", "redis"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    opened: Callable[[], AbstractAsyncContextManager[Ends]] = request.param
    async with opened() as pair:
        yield pair


async def listener(signals: Signals, topic: Topic, other: Signals) -> Listener:
    """A listener that is known to hear the other end; its count starts at 0."""
    made = Listener(signals, topic)

    def heard() -> bool:
        other.hint(topic)
        return made.woken > 0

    await eventually(heard)
    await settle(signals, other)
    made.woken = 0
    return made


async def settle(one: Signals, other: Signals) -> None:
    """Returns when whatever was sent before has arrived at both."""
    for sender, receiver in ((one, other), (other, one)):
        async with receiver.watch("settle") as events:
            sender.emit(Event("job", "settle"))
            await first(events)


async def take(events: AsyncIterator[Event], count: int) -> list[Any]:
    """The `n` of that many events, in the order they came in."""
    return [(await first(events)).data["n"] for _ in range(count)]


def number(n: int, namespace: str = "default") -> Event:
    return Event("job", namespace, {"n": n})


# ------------------------------------------------------------------------------------------------------------- hints


async def test_a_hint_wakes_its_own_process_before_it_returns(ends: Ends) -> None:
    heard = Listener(ends.here, Topic.DUE)
    before = heard.woken
    ends.here.hint(Topic.DUE)
    assert heard.woken == before + 1


async def test_a_hint_wakes_the_other_process(ends: Ends) -> None:
    heard = await listener(ends.there, Topic.DUE, ends.here)
    ends.here.hint(Topic.DUE)
    await eventually(lambda: heard.woken == 1)


async def test_a_process_is_not_woken_again_by_the_echo_of_its_hint(ends: Ends) -> None:
    heard = await listener(ends.here, Topic.DUE, ends.there)
    ends.here.hint(Topic.DUE)
    await settle(ends.here, ends.there)
    assert heard.woken == 1


async def test_topics_are_apart(ends: Ends) -> None:
    due = await listener(ends.there, Topic.DUE, ends.here)
    cancel = await listener(ends.there, Topic.CANCEL, ends.here)
    ends.here.hint(Topic.CANCEL)
    await eventually(lambda: cancel.woken == 1)
    await settle(ends.here, ends.there)
    assert due.woken == 0


async def test_many_hints_reach_the_other_process_as_few_and_the_last_is_not_swallowed(ends: Ends) -> None:
    heard = await listener(ends.there, Topic.ROOM, ends.here)
    for _ in range(500):
        ends.here.hint(Topic.ROOM)
    await settle(ends.here, ends.there)
    burst = heard.woken
    assert burst == (500 if ends.here is ends.there else 1)
    ends.here.hint(Topic.ROOM)
    await eventually(lambda: heard.woken == burst + 1)


async def test_every_listener_of_a_topic_is_woken_also_behind_one_that_fails(ends: Ends) -> None:
    def broken() -> None:
        raise RuntimeError("a listener's own mistake")

    ends.here.listen(Topic.DUE, broken)
    heard = Listener(ends.here, Topic.DUE)
    before = heard.woken
    ends.here.hint(Topic.DUE)
    assert heard.woken == before + 1


# ------------------------------------------------------------------------------------------------------------ events


async def test_events_arrive_in_order_on_both_sides(ends: Ends) -> None:
    async with ends.here.watch("default") as own, ends.there.watch("default") as others:
        for n in range(LIMIT):
            ends.here.emit(number(n))
        assert await take(own, LIMIT) == list(range(LIMIT))
        assert await take(others, LIMIT) == list(range(LIMIT))


async def test_an_event_arrives_whole_and_once(ends: Ends) -> None:
    event = Event("queue", "default", {"name": "mäil", "paused": True, "depth": {"PENDING": 3}})
    async with ends.here.watch("default") as own, ends.there.watch("default") as others:
        ends.here.emit(event)
        ends.here.emit(number(1))
        for events in (own, others):
            assert await first(events) == event
            assert await first(events) == number(1)


async def test_a_watcher_sees_its_namespace_only(ends: Ends) -> None:
    async with ends.there.watch("one") as events:
        ends.here.emit(number(1, "two"))
        ends.here.emit(number(2, "one.two"))
        ends.here.emit(number(3, "one"))
        assert await take(events, 1) == [3]


async def test_a_slow_watcher_loses_the_oldest(ends: Ends) -> None:
    async with ends.there.watch("default") as slow, ends.there.watch("settled") as after:
        for n in range(MANY):
            ends.here.emit(number(n))
        ends.here.emit(number(0, "settled"))
        await first(after)
        assert await take(slow, LIMIT) == list(range(MANY - LIMIT, MANY))


async def test_watchers_come_and_go(ends: Ends) -> None:
    for n in range(5):
        async with ends.there.watch("default") as events:
            ends.here.emit(number(n))
            assert await take(events, 1) == [n]


async def test_a_watcher_that_leaves_takes_nothing_from_another(ends: Ends) -> None:
    async with ends.there.watch("default") as stays:
        async with ends.there.watch("default"):
            pass
        await settle(ends.here, ends.there)
        ends.here.emit(number(7))
        assert await take(stays, 1) == [7]


async def test_an_event_that_is_not_json_does_no_harm(ends: Ends) -> None:
    async with ends.there.watch("default") as events:
        ends.here.emit(Event("job", "default", {"n": 1}))
        ends.here.emit(Event("job", "elsewhere", {"n": object()}))
        ends.here.emit(Event("job", "default", {"n": 2}))
        assert await take(events, 2) == [1, 2]


async def test_close_ends_every_watch(ends: Ends) -> None:
    async with ends.here.watch("default") as events:
        ends.here.emit(number(1))
        await ends.here.close()
        assert [event.data["n"] async for event in events] == [1]
    async with ends.here.watch("default") as late:
        assert [event async for event in late] == []


async def test_run_lasts_until_it_is_cancelled(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ends.here.run()
