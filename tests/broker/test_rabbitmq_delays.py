"""The delay levels on a real RabbitMQ, bit by bit."""

from __future__ import annotations

import asyncio
from collections import Counter

import aio_pika
import pytest

from horae.broker import delays, topology
from horae.broker.message import encode
from horae.broker.rabbitmq import RabbitBroker
from tests.support.brokers import Inbox, consuming, depth, queue_name, raw_channel, reference, references
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

LATE = 1.5
"""seconds that a delivery may be late on a busy machine"""

ALL_LEVELS = [delays.level_name(level) for level in range(delays.LEVELS)]


async def messages_by_level(url: str) -> dict[int, int]:
    counts = [await depth(url, name) for name in ALL_LEVELS]
    return {level: count for level, count in enumerate(counts) if count}


async def purge(url: str, *queues: str) -> None:
    async with raw_channel(url) as channel:
        for queue in queues:
            await (await channel.get_queue(queue)).purge()


async def test_short_delays_bit_by_bit(rabbit: RabbitBroker) -> None:
    queue, inbox, loop = queue_name(), Inbox(acks=True), asyncio.get_running_loop()
    seconds = [0, 1, 2, 3, 4, 5, 7, 8, 9]
    async with consuming(rabbit, queue, inbox=inbox):
        await rabbit.publisher.publish_later(queue, reference(), 1)
        await inbox.holds(1)
        began = loop.time()
        await asyncio.gather(*(rabbit.publisher.publish_later(queue, reference(delay), delay) for delay in seconds))
        await inbox.holds(1 + len(seconds), seconds=9 + LATE)
    came = zip(inbox.references[1:], inbox.times[1:], strict=True)
    arrivals = [(one.token, time - began) for one, time in came]
    assert sorted(token for token, _ in arrivals) == seconds
    assert all(delay - 0.01 <= waited <= delay + LATE for delay, waited in arrivals), arrivals


async def test_long_delays_wait_in_the_level_of_their_highest_bit(vhost: str, rabbit: RabbitBroker) -> None:
    queue = queue_name()
    await purge(vhost, *ALL_LEVELS)
    powers = [2**level for level in range(5, delays.LEVELS)]
    seconds = [*powers, *(power + 1 for power in powers), *(2 * power - 1 for power in powers)]
    await asyncio.gather(*(rabbit.publisher.publish_later(queue, reference(), delay) for delay in seconds))
    expected = Counter(delays.first_level(delay) for delay in seconds)
    assert await messages_by_level(vhost) == expected
    assert expected == dict.fromkeys(range(5, delays.LEVELS), 3)
    await purge(vhost, *ALL_LEVELS)


async def test_zeros_lead_through_every_level_below(vhost: str, rabbit: RabbitBroker) -> None:
    queue, inbox = queue_name(), Inbox(acks=True)
    body, persistent = encode([reference()]), aio_pika.DeliveryMode.PERSISTENT
    async with consuming(rabbit, queue, inbox=inbox), raw_channel(vhost) as channel:
        for level in range(delays.LEVELS):
            exchange = await channel.get_exchange(delays.level_name(level), ensure=False)
            message = aio_pika.Message(body, delivery_mode=persistent)
            await exchange.publish(message, delays.routing_key(0, queue))
        await inbox.holds(delays.LEVELS)
        await (await channel.get_exchange(delays.level_name(11), ensure=False)).publish(
            aio_pika.Message(body, delivery_mode=persistent), delays.routing_key(1, queue)
        )
        await inbox.holds(delays.LEVELS + 1)
    assert len(inbox.deliveries) == delays.LEVELS + 1


async def test_a_dot_in_a_name_makes_another_queue(rabbit: RabbitBroker) -> None:
    short = queue_name()
    queues = [short, f"a.{short}", f"{short}.a", f"a.a.{short}", f"{short}..a", f"{short}."]
    inbox = Inbox(acks=True)
    async with consuming(rabbit, *queues, inbox=inbox):
        for token, queue in enumerate(queues):
            await rabbit.publisher.publish(queue, [reference(token)])
            await rabbit.publisher.publish_later(queue, reference(token), 1)
        await inbox.holds(2 * len(queues))
    came = Counter((delivery.queue, delivery.references[0].token) for delivery in inbox.deliveries)
    assert came == {(queue, token): 2 for token, queue in enumerate(queues)}


async def test_a_third_retry_comes_back_too(rabbit: RabbitBroker) -> None:
    queue, inbox = queue_name(), Inbox(acks=True)
    async with consuming(rabbit, queue, inbox=inbox):
        one = reference()
        for attempt in range(1, 5):
            await rabbit.publisher.publish_later(queue, one, 1)
            await inbox.holds(attempt, seconds=1 + LATE)
    assert inbox.references == [one] * 4


async def test_a_delayed_message_for_a_deleted_queue_blocks_nobody(vhost: str, rabbit: RabbitBroker) -> None:
    gone, alive, inbox = queue_name(), queue_name(), Inbox(acks=True)
    await purge(vhost, topology.UNROUTED)
    async with consuming(rabbit, alive, inbox=inbox):
        await rabbit.publisher.publish_later(gone, reference(), 2)
        async with raw_channel(vhost) as channel:
            await channel.queue_delete(topology.work_queue(gone))
        sent = references(5)
        for one in sent:
            await rabbit.publisher.publish_later(alive, one, 2)
        await inbox.holds(5)
        assert inbox.references == sent
        await eventually(lambda: _holds_one(vhost, topology.UNROUTED))


async def _holds_one(url: str, queue: str) -> bool:
    return await depth(url, queue) == 1
