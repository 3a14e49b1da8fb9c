"""Consumers of RabbitMQ: hostile messages, cancelled and silent connections, and the end of patience."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import orjson
import pamqp.frame
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq import spec
from aiormq.abc import AbstractChannel as Frames
from aiormq.abc import ChannelFrame

from horae.broker import rabbitmq_consumer, rabbitmq_publisher, rabbitmq_tap, topology
from horae.broker.message import MalformedDelivery, encode
from horae.broker.rabbitmq import RabbitBroker
from horae.broker.rabbitmq_consumer import VAIN_CONNECTIONS, Probes, RabbitConsumer
from horae.broker.rabbitmq_tap import Subscription
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown
from horae.runtime.clock import SystemClock
from tests.support.blackhole import BlackHole
from tests.support.brokers import (
    Inbox,
    RabbitControl,
    consuming,
    depth,
    queue_name,
    raw_channel,
    reference,
    references,
    running,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.service


def nobody_drops(queue: str, fault: MalformedDelivery) -> None:
    raise AssertionError(f"{fault} in {queue}")


def consumer_of(
    url: str, queue: str, inbox: Inbox, send_probe: Callable[[str], Awaitable[None]], every: float = 10.0
) -> RabbitConsumer:
    subscription = Subscription(inbox, 1, nobody_drops)
    return RabbitConsumer(url, SystemClock(), [queue], subscription, Probes(send_probe, every))


@pytest.fixture
async def hole(vhost: str) -> AsyncIterator[BlackHole]:
    async with BlackHole.before(vhost) as hole:
        yield hole


def hostile_bodies(count: int) -> list[bytes]:
    """Random bytes, JSON of other shapes, and deliveries with one thing wrong; never a good one."""
    chance, good = random.Random(4), encode(references(3))
    made = []
    for number in range(count):
        match number % 4:
            case 0:
                made.append(chance.randbytes(chance.randrange(200)))
            case 1:
                made.append(orjson.dumps({"v": 1, "jobs": [[chance.choice(["x", None, 7]), -1]] * chance.randrange(9)}))
            case 2:
                made.append(good[: chance.randrange(len(good))])
            case _:
                place = chance.randrange(len(good))
                made.append(good[:place] + b"\xff" + good[place + 1 :])
    return made


async def publish_raw(channel: AbstractChannel, queue: str, bodies: list[bytes]) -> None:
    """Past our publisher, a hundred in flight."""
    for start in range(0, len(bodies), 100):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(aio_pika.Message(body), topology.work_queue(queue))
                for body in bodies[start : start + 100]
            )
        )


async def test_ten_thousand_hostile_messages_are_counted_and_gone(vhost: str) -> None:
    queue, inbox, malformed, one = queue_name(), Inbox(acks=True), Counter[str](), reference()
    broker = RabbitBroker(vhost, SystemClock(), lambda queue: malformed.update([queue]))
    async with consuming(broker, queue, inbox=inbox), raw_channel(vhost) as channel:
        await publish_raw(channel, queue, hostile_bodies(10_000))
        await broker.publisher.publish(queue, [one])
        await eventually(lambda: malformed.total() + len(inbox.deliveries) == 10_001, seconds=30)
    await broker.close()
    assert malformed == {queue: 10_000}
    assert inbox.references == [one]
    assert await depth(vhost, topology.work_queue(queue)) == 0


async def test_a_hostile_message_of_megabytes_is_dropped(vhost: str) -> None:
    queue, inbox, malformed = queue_name(), Inbox(acks=True), Counter[str]()
    broker = RabbitBroker(vhost, SystemClock(), lambda queue: malformed.update([queue]))
    async with consuming(broker, queue, inbox=inbox), raw_channel(vhost) as channel:
        await publish_raw(channel, queue, [os.urandom(5_000_000)])
        await broker.publisher.publish(queue, [reference()])
        await inbox.holds(1)
    await broker.close()
    assert malformed == {queue: 1}


async def test_a_message_that_aiormq_cannot_parse_is_outlived(
    vhost: str, rabbit: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_consumer, "pause_after", lambda _failures: 0.01)
    queue, inbox, one = queue_name(), Inbox(acks=True), reference()
    async with consuming(rabbit, queue, inbox=inbox):
        async with raw_channel(vhost) as channel:
            await publish_with_timestamp(await channel.get_underlay_channel(), queue, 2**64 - 1)
        await rabbit.publisher.publish(queue, [one])
        await inbox.holds(1, seconds=20)
        await eventually(lambda: _is_empty(vhost, queue), seconds=20)


async def publish_with_timestamp(channel: Frames, queue: str, timestamp: int) -> None:
    """A property that no library would send: the frames are made by hand."""
    method = pamqp.frame.marshal(spec.Basic.Publish(routing_key=topology.work_queue(queue)), channel.number)
    header = struct.pack(">HHQHQ", 60, 0, 1, 1 << 6, timestamp)
    frames = [struct.pack(">BHI", kind, channel.number, len(part)) + part for kind, part in [(2, header), (3, b"x")]]
    payload = method + b"".join(frame + b"\xce" for frame in frames)
    await channel.connection.write_queue.put(ChannelFrame(payload=payload, should_close=False, drain_future=None))
    # Answered only after what was sent before.
    await channel.basic_qos(prefetch_count=1)


async def _is_empty(url: str, queue: str) -> bool:
    return await depth(url, topology.work_queue(queue)) == 0


async def test_a_deleted_queue_is_declared_and_consumed_again(vhost: str, rabbit: RabbitBroker) -> None:
    deleted, other, inbox = queue_name(), queue_name(), Inbox()
    async with consuming(rabbit, deleted, other, inbox=inbox):
        await rabbit.publisher.publish(other, [reference()])
        [held] = await inbox.holds(1)
        async with raw_channel(vhost) as channel:
            await channel.queue_delete(topology.work_queue(deleted))
        await eventually(lambda: _exists(vhost, deleted))
        await rabbit.publisher.publish(deleted, [reference()])
        await inbox.holds(2)
        # The connection is still the same, or what is held would have come again before this.
        await held.ack()
        await rabbit.publisher.publish(other, [reference()])
        await inbox.holds(3)
    assert [delivery.queue for delivery in inbox.deliveries] == [other, deleted, other]


async def _exists(url: str, queue: str) -> bool:
    try:
        await depth(url, topology.work_queue(queue))
    except ChannelNotFoundEntity:
        return False
    return True


async def test_a_queue_that_is_declared_again_in_the_same_instant_is_consumed_again(
    vhost: str, rabbit: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_consumer, "IDLE_SECONDS", 0.3)
    queue, inbox = queue_name(), Inbox(acks=True)
    async with consuming(rabbit, queue, inbox=inbox), raw_channel(vhost) as channel:
        await channel.queue_delete(topology.work_queue(queue))
        await topology.declare_work_queue(channel, queue)
        await rabbit.publisher.publish(queue, [reference()])
        await inbox.holds(1)


async def test_consuming_an_idle_queue_anew_loses_and_doubles_nothing(
    rabbit: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_consumer, "IDLE_SECONDS", 0.001)
    queue, inbox, sent = queue_name(), Inbox(acks=True), references(1000)
    async with consuming(rabbit, queue, inbox=inbox, prefetch=2):
        for one in sent:
            await rabbit.publisher.publish(queue, [one])
        await inbox.holds(1000, seconds=20)
    assert inbox.references == sent


async def test_a_cut_connection_is_rebuilt_and_its_acks_are_forgotten(hole: BlackHole) -> None:
    queue, inbox = queue_name(), Inbox()
    broker = RabbitBroker(hole.url, SystemClock())
    async with consuming(broker, queue, inbox=inbox) as consumer:
        await broker.publisher.publish(queue, [reference()])
        [delivery] = await inbox.holds(1)
        hole.cut()
        await eventually(lambda: not consumer.connected)
        await delivery.ack()
        await inbox.holds(2)
        await inbox.deliveries[1].ack()
    await broker.close()
    assert inbox.references == [delivery.references[0]] * 2


async def test_a_connection_over_which_no_probe_comes_is_rebuilt(vhost: str, hole: BlackHole) -> None:
    queue, inbox, one = queue_name(), Inbox(acks=True), reference()
    direct = RabbitBroker(vhost, SystemClock())
    async with running(consumer_of(hole.url, queue, inbox, direct.publisher.probe, 0.05)) as consumer:
        hole.swallow()
        await direct.publisher.publish(queue, [one])
        await eventually(lambda: not consumer.connected)
        # RabbitMQ has given the message to the connection that it still believes in.
        hole.cut()
        await inbox.holds(1)
    await direct.close()
    assert inbox.references == [one]


async def test_probes_that_were_not_sent_say_nothing_about_the_connection(vhost: str, rabbit: RabbitBroker) -> None:
    queue, inbox, tries = queue_name(), Inbox(acks=True), 0

    async def not_sent(_queue: str) -> None:
        nonlocal tries
        tries += 1
        raise BrokerUnavailable("blocked")

    async with running(consumer_of(vhost, queue, inbox, not_sent, 0.01)) as consumer:
        await eventually(lambda: tries > 20)
        assert consumer.connected
        await rabbit.publisher.publish(queue, [reference()])
        await inbox.holds(1)


async def test_a_returned_probe_means_that_the_broker_has_given_the_connection_up(vhost: str) -> None:
    probed: list[str] = []

    async def returned_once(queue: str) -> None:
        probed.append(queue)
        if len(probed) == 1:
            raise PublishReturned("no such queue")

    async with running(consumer_of(vhost, queue_name(), Inbox(), returned_once)) as consumer:
        await eventually(lambda: len(probed) == 2 and consumer.connected)
    assert probed[0] != probed[1]


async def test_connections_in_vain_end_the_consumer(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq_consumer, "pause_after", lambda _failures: 0.01)
    probed: list[str] = []

    async def lost(queue: str) -> None:
        probed.append(queue)

    consumer = consumer_of(vhost, queue_name(), Inbox(), lost, 0.01)
    with pytest.raises(BrokerUnavailable, match="in vain"):
        await consumer.run()
    assert len(set(probed)) == VAIN_CONNECTIONS
    assert not consumer.connected


async def test_a_consumer_waits_for_a_broker_that_is_not_there_yet(vhost: str, hole: BlackHole) -> None:
    queue, inbox = queue_name(), Inbox(acks=True)
    broker = RabbitBroker(vhost, SystemClock())
    refused = hole.refuse()
    consumer = consumer_of(hole.url, queue, inbox, broker.publisher.probe)
    run = asyncio.create_task(consumer.run())
    await eventually(lambda: len(refused) > 1)
    assert not consumer.connected
    hole.welcome()
    await eventually(lambda: consumer.connected)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await broker.close()


async def test_a_queue_that_cannot_be_consumed_holds_up_no_other(vhost: str, rabbit: RabbitBroker) -> None:
    sick, fine, inbox = queue_name(), queue_name(), Inbox(acks=True)
    async with raw_channel(vhost) as channel:
        await channel.declare_queue(topology.work_queue(sick), durable=True)
    async with consuming(rabbit, sick, fine, inbox=inbox):
        await rabbit.publisher.publish(fine, [reference()])
        await inbox.holds(1)
        async with raw_channel(vhost) as channel:
            await channel.queue_delete(topology.work_queue(sick))
        await rabbit.publisher.publish(sick, [reference()])
        await inbox.holds(2)
    assert [delivery.queue for delivery in inbox.deliveries] == [fine, sick]


async def test_a_queue_that_never_answers_holds_up_no_other(
    vhost: str, rabbit: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_tap, "OPEN_SECONDS", 0.5)
    monkeypatch.setattr(rabbitmq_publisher, "PUBLISH_SECONDS", 1.0)
    sick, fine, inbox, control = queue_name(), queue_name(), Inbox(acks=True), RabbitControl.of_this_run()
    for queue in (sick, fine):
        await rabbit.publisher.publish(queue, [reference()])
    leader = f'list_to_atom("{vhost.rpartition("/")[2]}_{topology.work_queue(sick)}")'
    await control("eval", f"sys:suspend({leader}).")
    async with consuming(rabbit, sick, fine, inbox=inbox):
        ends = await asyncio.gather(
            *(rabbit.publisher.publish(queue, [reference()]) for queue in (sick, fine)), return_exceptions=True
        )
        assert isinstance(ends[0], PublishUnknown)
        assert ends[1] is None
        await rabbit.publisher.publish(fine, [reference()])
        await inbox.holds(3)
        assert {delivery.queue for delivery in inbox.deliveries} == {fine}
        await control("eval", f"sys:resume({leader}).")
        await eventually(lambda: sick in {delivery.queue for delivery in inbox.deliveries}, seconds=30)


async def test_a_consumer_of_nothing_but_sick_queues_is_not_connected(vhost: str, rabbit: RabbitBroker) -> None:
    sick = queue_name()
    async with raw_channel(vhost) as channel:
        await channel.declare_queue(topology.work_queue(sick), durable=True)
    consumer = rabbit.consumer([sick], Inbox(), 1)
    run = asyncio.create_task(consumer.run())
    await eventually(lambda: consumer._session is not None and sick in consumer._session.consumed)
    assert not consumer.connected
    async with raw_channel(vhost) as channel:
        await channel.queue_delete(topology.work_queue(sick))
    await eventually(lambda: consumer.connected)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_ending_a_consumer_leaves_no_connection_and_no_task(hole: BlackHole) -> None:
    before = asyncio.all_tasks()
    broker = RabbitBroker(hole.url, SystemClock())
    async with consuming(broker, queue_name(), inbox=Inbox()):
        assert hole.connections == 2
    await broker.close()
    await eventually(lambda: hole.connections == 0)
    await eventually(lambda: asyncio.all_tasks() <= before)
