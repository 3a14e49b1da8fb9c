"""What Horae declares in RabbitMQ: names, arguments, bindings.

Everything is durable and never deleted. No argument depends on a setting, because a queue that is declared otherwise
than it exists closes the channel; whoever changes one counts `v1` up.
"""

from __future__ import annotations

from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from horae.broker import delays

DELIVER = "horae.v1.deliver"
"""the exchange in which every delay ends"""

UNROUTED = "horae.v1.unrouted"
"""exchange and queue for what was to be delivered to a queue that isn't there; nobody consumes it"""

WORK_TTL = 600.0
UNROUTED_TTL = 3600.0

# A wide net only: RabbitMQ also counts the crashes of neighbours in the prefetch.
DELIVERY_LIMIT = 20


def work_queue(queue: str) -> str:
    """The name in RabbitMQ of a queue of jobs."""
    return f"horae.v1.work.{queue}"


async def declare_delivery(channel: AbstractChannel) -> None:
    """The exchange behind the delay levels.

    Its alternate exchange catches what it can't route: returned to a level, a message would block it. There must be no
    other alternate exchange, as one disarms `mandatory`.
    """
    await channel.declare_exchange(UNROUTED, ExchangeType.FANOUT, durable=True)
    unrouted = await channel.declare_queue(UNROUTED, durable=True, arguments=_quorum(UNROUTED_TTL))
    await unrouted.bind(UNROUTED)
    await channel.declare_exchange(
        DELIVER, ExchangeType.TOPIC, durable=True, arguments={"alternate-exchange": UNROUTED}
    )


async def declare_work_queue(channel: AbstractChannel, queue: str) -> None:
    """A queue of jobs, also within reach of the delay levels. Needs `declare_delivery`."""
    arguments = _quorum(WORK_TTL) | {"x-delivery-limit": DELIVERY_LIMIT}
    work = await channel.declare_queue(work_queue(queue), durable=True, arguments=arguments)
    await work.bind(DELIVER, delays.delivery_pattern(queue))


async def declare_levels(channel: AbstractChannel) -> None:
    """The delay levels, lowest first: each needs the one below, the lowest needs `declare_delivery`."""
    below = DELIVER
    for level in range(delays.LEVELS):
        below = await _declare_level(channel, level, below)


async def _declare_level(channel: AbstractChannel, level: int, below: str) -> str:
    name = delays.level_name(level)
    exchange = await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
    arguments = _quorum(2.0**level) | {
        "x-dead-letter-exchange": below,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
    await queue.bind(exchange, delays.holding_pattern(level))
    await (await channel.get_exchange(below, ensure=False)).bind(exchange, delays.passing_pattern(level))
    return name


def _quorum(ttl: float) -> dict[str, Any]:
    """Arguments of a replicated queue whose messages live so many seconds."""
    return {"x-queue-type": "quorum", "x-message-ttl": int(ttl * 1000)}
