"""RabbitMQ killed and blocked: a server of these tests' own, for which `scripts/services` cares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horae.broker import rabbitmq_publisher
from horae.broker.rabbitmq import RabbitBroker
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown
from horae.domain.job import Reference
from horae.runtime.clock import SystemClock
from tests.support.brokers import Inbox, RabbitControl, consuming, queue_name, reference, references, run
from tests.support.services import address
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

SERVICES = str(Path(__file__).parents[2] / "scripts" / "services")

RESTART = 40.0
"""seconds that a broker may take to come back"""


class OwnServer:
    """A RabbitMQ to be killed."""

    def __init__(self, home: Path) -> None:
        self._environment = {**os.environ, "HORAE_SERVICES_HOME": str(home)}
        self.control = RabbitControl({})

    async def services(self, *command: str) -> str:
        return await run(SERVICES, *command, environment=self._environment)

    async def up(self) -> None:
        await self.services("up")
        lines = (await self.services("env")).splitlines()
        self.control = RabbitControl(dict(line.split("=", 1) for line in lines))

    @property
    def url(self) -> str:
        return self.control.url


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnServer]:
    address("HORAE_BROKER_URL")
    own = OwnServer(tmp_path_factory.mktemp("services"))
    try:
        await own.up()
        yield own
    finally:
        await own.services("down")


@pytest.fixture
async def broker(server: OwnServer) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(server.url, SystemClock())
    await broker.check()
    yield broker
    await broker.close()


async def publish_until_taken(broker: RabbitBroker, queue: str, sent: list[Reference]) -> None:
    """As a caller does: again after a refusal, and after an unknown end too."""

    async def taken() -> bool:
        try:
            await broker.publisher.publish(queue, sent)
        except (PublishReturned, PublishUnknown, BrokerUnavailable):
            return False
        return True

    await eventually(taken, RESTART)


async def test_a_killed_broker_loses_no_confirmed_message_and_is_found_again(
    server: OwnServer, broker: RabbitBroker
) -> None:
    queue, idle, inbox, untouched = queue_name(), queue_name(), Inbox(), Inbox()
    loop = asyncio.get_running_loop()
    held, kept, settled, delayed, last = reference(), reference(), reference(), references(20), reference()
    async with consuming(broker, queue, inbox=inbox, prefetch=30) as consumer:
        await broker.publisher.publish(queue, [held])
        [unacked] = await inbox.holds(1)
        await broker.publisher.publish(idle, [kept])
        # RabbitMQ never finds a leader again for a queue that was declared within half a second before it was killed.
        await broker.publisher.publish_later(queue, settled, 2)
        await inbox.holds(2)
        began = loop.time()
        await asyncio.gather(*(broker.publisher.publish_later(queue, one, 12) for one in delayed))
        await server.services("kill", "mq")
        await eventually(lambda: not consumer.connected)
        await unacked.ack()
        asked = loop.time()
        with pytest.raises(BrokerUnavailable):
            await broker.publisher.publish(queue, [reference()])
        assert loop.time() - asked < rabbitmq_publisher.PUBLISH_SECONDS + 1
        await server.services("start", "mq")
        await eventually(lambda: consumer.connected, RESTART)
        await publish_until_taken(broker, queue, [last])
        await eventually(lambda: {*delayed, held, last} <= {*inbox.references}, RESTART)
        early = [came - began for one, came in zip(inbox.references, inbox.times, strict=True) if one in delayed]
        assert min(early) >= 12 - 0.01
    assert inbox.references.count(held) == 2
    assert all(inbox.references.count(one) == 1 for one in delayed)
    async with consuming(broker, idle, inbox=untouched):
        await untouched.holds(1)
    assert untouched.references == [kept]


async def test_under_an_alarm_publishing_waits_and_consuming_goes_on(
    server: OwnServer, broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_publisher, "PUBLISH_SECONDS", 1.0)
    queue, inbox, unknown, last = queue_name(), Inbox(acks=True), reference(), reference()
    backlog = references(30)
    for one in backlog:
        await broker.publisher.publish(queue, [one])
    await server.control("set_vm_memory_high_watermark", "0.000001")
    try:
        with pytest.raises(PublishUnknown):
            await broker.publisher.publish(queue, [unknown])
        with pytest.raises(BrokerUnavailable, match="takes nothing") as certain:
            await broker.publisher.publish(queue, [reference()])
        assert type(certain.value) is BrokerUnavailable
        async with consuming(broker, queue, inbox=inbox, prefetch=1):
            await inbox.holds(30)
    finally:
        await server.control("set_vm_memory_high_watermark", "0.6")
    await publish_until_taken(broker, queue, [last])
    async with consuming(broker, queue, inbox=inbox):
        await inbox.holds(32)
    assert set(inbox.references) == {*backlog, unknown, last}
