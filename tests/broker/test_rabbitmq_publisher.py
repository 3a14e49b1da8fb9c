"""What becomes of a publish when RabbitMQ refuses it, forgets its queue, is not there, or falls silent."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit

import pytest

from horae.broker import rabbitmq_publisher, topology
from horae.broker.rabbitmq import RabbitBroker
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown
from horae.runtime.clock import SystemClock
from tests.support.blackhole import BlackHole
from tests.support.brokers import Inbox, consuming, depth, queue_name, raw_channel, reference
from tests.support.clock import ManualClock
from tests.support.waiting import eventually

pytestmark = pytest.mark.service


async def delete(url: str, name: str) -> None:
    async with raw_channel(url) as channel:
        await channel.queue_delete(name)


async def test_a_publish_to_a_deleted_queue_is_returned_and_the_next_one_declares_it(
    vhost: str, rabbit: RabbitBroker
) -> None:
    queue, inbox, lost = queue_name(), Inbox(acks=True), reference()
    await rabbit.publisher.publish(queue, [reference()])
    await delete(vhost, topology.work_queue(queue))
    with pytest.raises(PublishReturned, match="NO_ROUTE"):
        await rabbit.publisher.publish(queue, [lost])
    again = reference()
    await rabbit.publisher.publish(queue, [again])
    async with consuming(rabbit, queue, inbox=inbox):
        await inbox.holds(1)
    assert inbox.references == [again]


async def test_a_returned_publish_does_not_disturb_the_others(vhost: str, rabbit: RabbitBroker) -> None:
    gone, alive = queue_name(), queue_name()
    for queue in (gone, alive):
        await rabbit.publisher.publish(queue, [reference()])
    await delete(vhost, topology.work_queue(gone))
    ends = await asyncio.gather(
        *(rabbit.publisher.publish(alive if number else gone, [reference()]) for number in range(50)),
        return_exceptions=True,
    )
    assert isinstance(ends[0], PublishReturned)
    assert ends[1:] == [None] * 49
    assert await depth(vhost, topology.work_queue(alive)) == 50


async def test_a_deleted_delay_level_is_declared_again(vhost: str, rabbit: RabbitBroker) -> None:
    queue, inbox = queue_name(), Inbox(acks=True)
    await rabbit.publisher.publish_later(queue, reference(), 1)
    await delete(vhost, "horae.v1.delay.01")
    with pytest.raises(PublishReturned):
        await rabbit.publisher.publish_later(queue, reference(), 3)
    await rabbit.publisher.publish_later(queue, reference(3), 3)
    async with consuming(rabbit, queue, inbox=inbox):
        await inbox.holds(2)
    assert [one.token for one in inbox.references] == [1, 3]


async def test_a_deleted_delay_exchange_costs_one_unknown_publish(vhost: str, rabbit: RabbitBroker) -> None:
    queue = queue_name()
    await rabbit.publisher.publish_later(queue, reference(), 1)
    async with raw_channel(vhost) as channel:
        await channel.exchange_delete("horae.v1.delay.11")
    with pytest.raises(PublishUnknown):
        await rabbit.publisher.publish_later(queue, reference(), 4000)
    await rabbit.publisher.publish_later(queue, reference(), 4000)
    async with raw_channel(vhost) as channel:
        assert await (await channel.get_queue("horae.v1.delay.11")).purge()


async def test_a_queue_that_exists_otherwise_is_named_and_does_no_harm(vhost: str, rabbit: RabbitBroker) -> None:
    other, fine = queue_name(), queue_name()
    async with raw_channel(vhost) as channel:
        await channel.declare_queue(topology.work_queue(other), durable=True)
    await rabbit.publisher.publish(fine, [reference()])
    link = rabbit.publisher._link
    with pytest.raises(BrokerUnavailable, match=f"{other}.*PRECONDITION_FAILED"):
        await rabbit.publisher.publish(other, [reference()])
    await rabbit.publisher.publish(fine, [reference()])
    assert rabbit.publisher._link is link


async def test_an_absent_broker_is_asked_once_a_second(clock: ManualClock) -> None:
    attempts = 0

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    publisher = RabbitBroker(f"amqp://user:secret@127.0.0.1:{port}/", clock).publisher
    for expected in (1, 2):
        ends = await asyncio.gather(
            *(publisher.publish("mail", [reference()]) for _ in range(20)), return_exceptions=True
        )
        assert {type(end) for end in ends} == {BrokerUnavailable}
        assert attempts == expected
        clock.turn(rabbitmq_publisher.FAILURE_SECONDS)
    server.close()


async def test_errors_name_the_broker_and_no_secret(vhost: str) -> None:
    password = secrets.token_hex(8)
    parts = urlsplit(vhost)
    wrong = parts._replace(netloc=f"nobody:{password}@127.0.0.1:{parts.port}").geturl()
    absent = f"amqp://nobody:{password}@127.0.0.1:1/"
    for url in (wrong, absent):
        broker = RabbitBroker(url, SystemClock())
        for attempt in (broker.check(), broker.publisher.publish("mail", [reference()])):
            with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:\d+") as caught:
                await attempt
            assert password not in repr(caught.value)


async def test_a_silent_broker_leaves_one_publish_unknown_and_is_connected_to_anew(
    vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_publisher, "PUBLISH_SECONDS", 0.5)
    queue, inbox = queue_name(), Inbox(acks=True)
    async with BlackHole.before(vhost) as hole:
        broker = RabbitBroker(hole.url, SystemClock())
        async with consuming(broker, queue, inbox=inbox):
            await broker.publisher.publish(queue, [reference(1)])
            hole.swallow()
            with pytest.raises(PublishUnknown, match="no confirm"):
                await broker.publisher.publish(queue, [reference(2)])
            await broker.publisher.publish(queue, [reference(3)])
        await broker.close()


async def test_a_connection_cut_in_mid_publish_leaves_it_unknown(vhost: str) -> None:
    queue = queue_name()
    async with BlackHole.before(vhost) as hole:
        broker = RabbitBroker(hole.url, SystemClock())
        await broker.publisher.publish(queue, [reference()])
        hole.swallow()
        publishing = [asyncio.create_task(broker.publisher.publish(queue, [reference()])) for _ in range(10)]
        link = broker.publisher._link
        assert link
        await eventually(lambda: len(link._frames.confirmations) == 10)  # type: ignore[attr-defined]
        hole.cut()
        ends = await asyncio.gather(*publishing, return_exceptions=True)
        assert {type(end) for end in ends} == {PublishUnknown}
        await broker.publisher.publish(queue, [reference()])
        await broker.close()


async def test_a_cancelled_publish_is_cancelled_and_the_next_one_works(vhost: str) -> None:
    queue = queue_name()
    async with BlackHole.before(vhost) as hole:
        broker = RabbitBroker(hole.url, SystemClock())
        for _ in range(3):
            publishing = asyncio.create_task(broker.publisher.publish(queue, [reference()]))
            await eventually(lambda: hole.connections > 0)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
        await broker.publisher.publish(queue, [reference()])
        await broker.close()
        await eventually(lambda: hole.connections == 0)
