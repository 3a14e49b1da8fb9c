"""One connection to RabbitMQ over aio-pika: how it is made and ended, and what its errors mean to us."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from horae.domain.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 4.0
CLOSE_SECONDS = 5.0

HEARTBEAT_SECONDS = 10
"""aio-pika gives a silent connection up after three of them"""


async def connect(url: str, purpose: str) -> AbstractConnection:
    """A new connection; RabbitMQ lists it as `horae <purpose>`. It doesn't reconnect by itself.

    Raises:
        BrokerUnavailable: nobody listens, or no answer within `CONNECT_SECONDS`, or refused.
    """
    with losses_as(BrokerUnavailable, f"can't connect to RabbitMQ at {_address(url)}"):
        async with asyncio.timeout(CONNECT_SECONDS):
            return await aio_pika.connect(url, heartbeat=HEARTBEAT_SECONDS, name=f"horae {purpose}")


async def close(connection: AbstractConnection) -> None:
    """Ends the connection, politely if the broker still answers."""
    try:
        with losses_as(BrokerUnavailable, "close"):
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()
    except BrokerUnavailable as loss:
        log.debug("broker.closed_badly", error=str(loss))


@contextmanager
def losses_as(error: type[BrokerUnavailable], what: str) -> Iterator[None]:
    """Turns whatever tells of a lost connection or a refusal by the broker into `error`."""
    try:
        yield
    except asyncio.CancelledError:
        # aiormq ends what waits on a lost connection with a cancellation of its own: only our caller's may pass.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise error(f"{what}: the connection was lost") from None
    except Exception as failure:
        if not _tells_of_a_loss(failure):
            raise
        raise error(f"{what}: {_reason(failure)}") from failure


def _tells_of_a_loss(failure: Exception) -> bool:
    # A bare Exception is what aiormq gives to waiters when it knows no reason.
    return type(failure) is Exception or isinstance(failure, CONNECTION_EXCEPTIONS)


def _reason(failure: Exception) -> str:
    return "no answer in time" if isinstance(failure, TimeoutError) else str(failure) or type(failure).__name__


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
