"""Delays of the in-process broker, by a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.broker.inprocess import InProcessBroker
from tests.support.brokers import Inbox, consuming, reference
from tests.support.clock import ManualClock
from tests.support.waiting import eventually

MARKER = 999


@pytest.fixture
async def broker(clock: ManualClock) -> AsyncIterator[InProcessBroker]:
    broker = InProcessBroker(clock)
    yield broker
    await broker.close()


async def arrived(broker: InProcessBroker, clock: ManualClock, inbox: Inbox) -> list[int]:
    """The tokens of all that is due by now."""
    await clock.asleep()
    await broker.publisher.publish("mail", [reference(MARKER)])
    await eventually(lambda: inbox.references[-1:] != [] and inbox.references[-1].token == MARKER)
    inbox.deliveries.pop()
    return [one.token for one in inbox.references]


async def test_a_delay_ends_at_its_second_and_not_before(broker: InProcessBroker, clock: ManualClock) -> None:
    inbox = Inbox(acks=True)
    async with consuming(broker, "mail", inbox=inbox):
        for seconds in (60, 3, 4095, 2.5, 1):
            await broker.publisher.publish_later("mail", reference(int(seconds)), seconds)
        for pause, expected in [(0.999, []), (0.001, [1]), (1.999, [1]), (0.001, [1, 3, 2]), (57, [1, 3, 2, 60])]:
            clock.turn(pause)
            assert await arrived(broker, clock, inbox) == expected
        clock.turn(4095 - 60)
        await inbox.holds(5)
    assert inbox.references[-1].token == 4095


async def test_an_earlier_delay_overtakes_a_later_one_that_waits_already(
    broker: InProcessBroker, clock: ManualClock
) -> None:
    inbox = Inbox(acks=True)
    async with consuming(broker, "mail", inbox=inbox):
        await broker.publisher.publish_later("mail", reference(10), 10)
        await clock.asleep()
        await broker.publisher.publish_later("mail", reference(2), 2)
        clock.turn(2)
        await inbox.holds(1)
        assert clock.waiting == [8.0]
        clock.turn(8)
        await inbox.holds(2)
        await broker.publisher.publish_later("mail", reference(1), 1)
        clock.turn(1)
        await inbox.holds(3)
    assert [one.token for one in inbox.references] == [2, 10, 1]


async def test_a_closed_broker_waits_for_nothing_more(broker: InProcessBroker, clock: ManualClock) -> None:
    await broker.publisher.publish_later("mail", reference(), 5)
    await clock.asleep()
    await broker.close()
    assert not clock.waiting
