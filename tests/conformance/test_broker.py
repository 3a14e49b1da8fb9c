"""What every broker promises to those who publish and consume."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import pytest

from horae.broker.base import Broker
from horae.broker.inprocess import InProcessBroker
from horae.broker.rabbitmq import RabbitBroker
from horae.domain.errors import BrokerUnavailable
from horae.domain.job import Reference
from horae.runtime.clock import SystemClock
from tests.support.brokers import Inbox, consuming, delete_queues, queue_name, reference, references, running
from tests.support.services import address
from tests.support.waiting import eventually

PUNCTUAL = 1.5
"""seconds that a delayed delivery may be late on a busy machine"""

NewQueue = Callable[[], str]


@pytest.fixture(params=["in-process", pytest.param("rabbitmq", marks=pytest.mark.service)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    clock = SystemClock()
    opened = (
        InProcessBroker(clock) if request.param == "in-process" else RabbitBroker(address("HORAE_BROKER_URL"), clock)
    )
    yield opened
    await opened.close()


@pytest.fixture
async def new_queue(broker: Broker) -> AsyncIterator[NewQueue]:
    """Makes names of queues that only this test uses."""
    names: list[str] = []

    def new() -> str:
        names.append(queue_name())
        return names[-1]

    yield new
    if isinstance(broker, RabbitBroker):
        await delete_queues(address("HORAE_BROKER_URL"), names)


@pytest.fixture
def queue(new_queue: NewQueue) -> str:
    return new_queue()


async def test_a_delivery_arrives_as_it_was_published(broker: Broker, queue: str) -> None:
    sent, inbox = references(3), Inbox()
    async with consuming(broker, queue, inbox=inbox):
        await broker.publisher.publish(queue, sent)
        [delivery] = await inbox.holds(1)
    assert (delivery.queue, list(delivery.references)) == (queue, sent)


@pytest.mark.parametrize("count", [1, 100, 1000])
async def test_a_delivery_carries_up_to_a_thousand_references(broker: Broker, queue: str, count: int) -> None:
    sent, inbox = references(count), Inbox()
    async with consuming(broker, queue, inbox=inbox):
        await broker.publisher.publish(queue, sent)
        await inbox.holds(1)
    assert inbox.references == sent


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_delivery_of_another_size_is_refused(broker: Broker, queue: str, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        await broker.publisher.publish(queue, references(count))


async def test_what_nobody_consumes_yet_is_kept_in_order(broker: Broker, queue: str) -> None:
    sent, inbox = references(20), Inbox()
    for one in sent:
        await broker.publisher.publish(queue, [one])
    async with consuming(broker, queue, inbox=inbox):
        await inbox.holds(20)
    assert inbox.references == sent


async def test_an_acked_delivery_never_comes_again(broker: Broker, queue: str) -> None:
    first, second, marker = Inbox(), Inbox(), reference()
    async with consuming(broker, queue, inbox=first):
        await broker.publisher.publish(queue, [reference()])
        [delivery] = await first.holds(1)
        await delivery.ack()
    await broker.publisher.publish(queue, [marker])
    async with consuming(broker, queue, inbox=second):
        await second.holds(1)
    assert second.references == [marker]


async def test_a_second_ack_does_nothing(broker: Broker, queue: str) -> None:
    sent, inbox = references(4), Inbox()
    async with consuming(broker, queue, inbox=inbox, prefetch=2):
        for one in sent:
            await broker.publisher.publish(queue, [one])
        await inbox.holds(2)
        for _ in range(3):
            await inbox.deliveries[0].ack()
        await inbox.holds(3)
        await inbox.deliveries[1].ack()
        await inbox.holds(4)
    assert inbox.references == sent


async def test_unacked_deliveries_come_again_when_their_consumer_is_gone(broker: Broker, queue: str) -> None:
    sent, first, second = references(5), Inbox(), Inbox()
    for one in sent:
        await broker.publisher.publish(queue, [one])
    async with consuming(broker, queue, inbox=first):
        await (await first.holds(5))[2].ack()
    marker = reference()
    await broker.publisher.publish(queue, [marker])
    async with consuming(broker, queue, inbox=second):
        await second.holds(5)
    assert second.references == [*sent[:2], *sent[3:], marker]


async def test_an_ack_after_the_end_of_its_consumer_does_nothing(broker: Broker, queue: str) -> None:
    first, second = Inbox(), Inbox()
    await broker.publisher.publish(queue, [reference()])
    async with consuming(broker, queue, inbox=first):
        [delivery] = await first.holds(1)
    await delivery.ack()
    async with consuming(broker, queue, inbox=second):
        await second.holds(1)
    assert second.references == first.references


async def test_a_consumer_holds_no_more_than_its_prefetch_of_each_queue(broker: Broker, new_queue: NewQueue) -> None:
    full, other, inbox = new_queue(), new_queue(), Inbox()
    for one in references(5):
        await broker.publisher.publish(full, [one])
    async with consuming(broker, full, other, inbox=inbox, prefetch=2):
        await inbox.holds(2)
        await broker.publisher.publish(other, [reference()])
        await inbox.holds(3)
        assert [delivery.queue for delivery in inbox.deliveries] == [full, full, other]
        await inbox.deliveries[0].ack()
        await inbox.holds(4)
        assert inbox.deliveries[3].queue == full


async def test_two_consumers_share_a_queue(broker: Broker, queue: str) -> None:
    sent, one, two = references(20), Inbox(), Inbox()
    async with consuming(broker, queue, inbox=one, prefetch=5), consuming(broker, queue, inbox=two, prefetch=5):
        for each in sent:
            await broker.publisher.publish(queue, [each])
        await one.holds(5)
        await two.holds(5)
        for delivery in [*one.deliveries, *two.deliveries]:
            await delivery.ack()
        await eventually(lambda: len(one.deliveries) + len(two.deliveries) == 20)
    assert sorted(one.references + two.references) == sorted(sent)


async def test_a_stopped_consumer_gets_nothing_more_and_can_still_ack(broker: Broker, queue: str) -> None:
    first, second, late = Inbox(), Inbox(), references(3)
    async with consuming(broker, queue, inbox=first) as consumer:
        await broker.publisher.publish(queue, [reference()])
        [held] = await first.holds(1)
        await consumer.stop()
        assert not consumer.connected
        for one in late:
            await broker.publisher.publish(queue, [one])
        await held.ack()
        async with consuming(broker, queue, inbox=second):
            await second.holds(3)
        assert len(first.deliveries) == 1
    assert second.references == late


async def test_what_comes_while_a_consumer_stops_is_for_others(broker: Broker, queue: str) -> None:
    sent, first, second = references(300), Inbox(acks=True), Inbox(acks=True)
    async with consuming(broker, queue, inbox=first, prefetch=1) as consumer, asyncio.TaskGroup() as group:
        publishing = group.create_task(_publish_each(broker, queue, sent))
        await first.holds(20)
        await consumer.stop()
        got = len(first.deliveries)
        await publishing
        async with consuming(broker, queue, inbox=second):
            await eventually(lambda: len(first.deliveries) + len(second.deliveries) >= 300)
        assert len(first.deliveries) == got
    assert sorted(first.references + second.references) == sorted(sent)


async def _publish_each(broker: Broker, queue: str, sent: list[Reference]) -> None:
    for one in sent:
        await broker.publisher.publish(queue, [one])


async def test_stopping_twice_or_before_the_start_is_fine(broker: Broker, queue: str) -> None:
    inbox = Inbox()
    async with consuming(broker, queue, inbox=inbox) as consumer:
        await consumer.stop()
        await consumer.stop()
    never = broker.consumer([queue], inbox, 1)
    await never.stop()
    run = asyncio.create_task(never.run())
    await broker.publisher.publish(queue, [reference()])
    other = Inbox(acks=True)
    async with consuming(broker, queue, inbox=other):
        await other.holds(1)
    assert not never.connected
    assert not inbox.deliveries
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_queue_can_be_added_to_a_running_consumer(broker: Broker, new_queue: NewQueue) -> None:
    first, second, inbox = new_queue(), new_queue(), Inbox(acks=True)
    async with consuming(broker, inbox=inbox) as consumer:
        await consumer.add(first)
        await broker.publisher.publish(first, [reference()])
        await broker.publisher.publish(second, [reference()])
        await inbox.holds(1)
        await consumer.add(second)
        await consumer.add(first)
        await inbox.holds(2)
        await broker.publisher.publish(first, [reference()])
        await inbox.holds(3)
        await consumer.stop()
        await broker.publisher.publish(second, [reference()])
        other = Inbox(acks=True)
        async with consuming(broker, second, inbox=other):
            await other.holds(1)
    assert [delivery.queue for delivery in inbox.deliveries] == [first, second, first]


async def test_a_queue_can_be_added_before_the_start(broker: Broker, queue: str) -> None:
    inbox = Inbox(acks=True)
    consumer = broker.consumer([], inbox, 1)
    await consumer.add(queue)
    async with running(consumer):
        await broker.publisher.publish(queue, [reference()])
        await inbox.holds(1)


async def test_a_thousand_concurrent_publishes_arrive_once_each(broker: Broker, new_queue: NewQueue) -> None:
    queues, sent, inbox = [new_queue(), new_queue()], references(1000), Inbox(acks=True)
    async with consuming(broker, *queues, inbox=inbox, prefetch=50):
        await asyncio.gather(*(broker.publisher.publish(queues[one.token % 2], [one]) for one in sent))
        await inbox.holds(1000)
    assert sorted(inbox.references) == sorted(sent)
    assert all(one.references[0].token % 2 == queues.index(one.queue) for one in inbox.deliveries)


async def test_delays_are_kept_to_the_second(broker: Broker, queue: str) -> None:
    inbox, loop = Inbox(acks=True), asyncio.get_running_loop()
    delays = [3, 1, 0, 1.2, -1]
    async with consuming(broker, queue, inbox=inbox):
        await broker.publisher.publish_later(queue, reference(), 1)
        await inbox.holds(1)
        began = loop.time()
        await asyncio.gather(
            *(broker.publisher.publish_later(queue, reference(index), delay) for index, delay in enumerate(delays))
        )
        await inbox.holds(1 + len(delays))
    for delivery, came in zip(inbox.deliveries[1:], inbox.times[1:], strict=True):
        [one] = delivery.references
        waited = max(0, math.ceil(delays[one.token]))
        assert waited - 0.01 <= came - began <= waited + PUNCTUAL


@pytest.mark.parametrize("beyond", [0.001, 1e9, math.inf, math.nan])
async def test_longer_delays_are_refused(broker: Broker, queue: str, beyond: float) -> None:
    assert broker.publisher.longest_delay >= 3600
    with pytest.raises(ValueError, match="delay"):
        await broker.publisher.publish_later(queue, reference(), broker.publisher.longest_delay + beyond)


async def test_a_delayed_reference_arrives_where_nothing_was_published_before(
    broker: Broker, new_queue: NewQueue
) -> None:
    queue, inbox = new_queue(), Inbox(acks=True)
    one = reference(7)
    await broker.publisher.publish_later(queue, one, 1)
    async with consuming(broker, queue, inbox=inbox):
        await inbox.holds(1)
    assert inbox.references == [one]


async def test_the_check_passes_and_a_closed_broker_publishes_nothing(broker: Broker, queue: str) -> None:
    await broker.check()
    await broker.publisher.publish(queue, [reference()])
    await broker.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await broker.publisher.publish(queue, [reference()])
    with pytest.raises(BrokerUnavailable, match="closed"):
        await broker.publisher.publish_later(queue, reference(), 1)
