"""Brokers for tests: consumers that keep what they get, and RabbitMQ as its administrator sees it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel

from horae.broker.base import Broker, Consumer, Delivery
from horae.broker.topology import work_queue
from horae.domain.ids import IdMaker, JobId
from horae.domain.job import Reference
from tests.support.services import address
from tests.support.waiting import PATIENCE, eventually

_ids = IdMaker()


def reference(token: int = 1) -> Reference:
    """A reference to a job of its own."""
    return Reference(JobId(_ids.next(1_770_000_000_000)), token)


def references(count: int) -> list[Reference]:
    """References to different jobs, their tokens counting from 0."""
    return [reference(token) for token in range(count)]


def queue_name(suffix: str = "") -> str:
    """A queue that no other test has, `suffix` at the end of its name."""
    return f"test-{secrets.token_hex(6)}{suffix}"


class Inbox:
    """Keeps every delivery, and when it came by the loop's clock; acks it at once if told so."""

    def __init__(self, *, acks: bool = False) -> None:
        self.deliveries: list[Delivery] = []
        self.times: list[float] = []
        self._acks = acks
        self._acking: set[asyncio.Task[None]] = set()

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.times.append(asyncio.get_running_loop().time())
        if self._acks:
            task = asyncio.create_task(delivery.ack())
            self._acking.add(task)
            task.add_done_callback(self._acking.discard)

    @property
    def references(self) -> list[Reference]:
        """All that came, in their order."""
        return [reference for delivery in self.deliveries for reference in delivery.references]

    async def holds(self, count: int, seconds: float = PATIENCE) -> list[Delivery]:
        """All deliveries, as soon as there are so many."""
        await eventually(lambda: len(self.deliveries) >= count, seconds)
        return self.deliveries


@asynccontextmanager
async def consuming(broker: Broker, *queues: str, inbox: Inbox, prefetch: int = 100) -> AsyncIterator[Consumer]:
    """A consumer that runs and is connected."""
    async with running(broker.consumer(queues, inbox, prefetch)) as consumer:
        yield consumer


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[Consumer]:
    """Runs the consumer; an error of it ends the test."""
    async with asyncio.TaskGroup() as group:
        run = group.create_task(consumer.run())
        await eventually(lambda: consumer.connected)
        yield consumer
        run.cancel()


@asynccontextmanager
async def raw_channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel below everything of ours; it raises what the broker returns."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        yield channel


async def delete_queues(url: str, names: Sequence[str]) -> None:
    """Deletes queues of jobs, full or not."""
    async with raw_channel(url) as channel:
        for name in names:
            await channel.queue_delete(work_queue(name))


async def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue of that very name in RabbitMQ."""
    async with raw_channel(url) as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


class RabbitControl:
    """`rabbitmqctl` of one server, by what `scripts/services env` says of it."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    @classmethod
    def of_this_run(cls) -> RabbitControl:
        """Of the server that all tests share."""
        names = ("HORAE_BROKER_URL", *(f"HORAE_TEST_RABBITMQ_{part}" for part in ("CTL", "HOME", "NODE", "EPMD_PORT")))
        return cls({name: address(name) for name in names})

    @property
    def url(self) -> str:
        return self._settings["HORAE_BROKER_URL"]

    async def __call__(self, *command: str) -> None:
        environment = {
            "HOME": self._settings["HORAE_TEST_RABBITMQ_HOME"],
            "PATH": os.environ["PATH"],
            "ERL_EPMD_PORT": self._settings["HORAE_TEST_RABBITMQ_EPMD_PORT"],
            "RABBITMQ_NODENAME": self._settings["HORAE_TEST_RABBITMQ_NODE"],
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        await run(self._settings["HORAE_TEST_RABBITMQ_CTL"], "--quiet", *command, environment=environment)

    @asynccontextmanager
    async def vhost(self) -> AsyncIterator[str]:
        """The address of a new virtual host; it is deleted at the end."""
        name = f"test-{secrets.token_hex(6)}"
        parts = urlsplit(self.url)
        await self("add_vhost", name)
        await self("set_permissions", "-p", name, parts.username or "", ".*", ".*", ".*")
        try:
            yield parts._replace(path=f"/{name}").geturl()
        finally:
            await self("delete_vhost", name)


async def run(*command: str, environment: Mapping[str, str]) -> str:
    """What the program printed; its errors go where ours go."""
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return output.decode()
