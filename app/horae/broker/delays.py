"""Delays on plain RabbitMQ, as pure names and keys: twelve levels, and a message waits in those that its bits name.

Level L holds a message for 2^L seconds if its bit is 1 and lets it pass if it is 0. A routing key is the twelve bits of
the delay, the most significant first, and then the destination: `0.0.0.0.0.0.0.0.0.1.0.1.mail` waits 4 s and 1 s and
goes to `mail`. Each level has one lifetime for all its messages, so that no message waits behind a longer one.
"""

from __future__ import annotations

import math

LEVELS = 12

LONGEST_DELAY: int = 2**LEVELS - 1
"""seconds, about 68 minutes"""


def whole_seconds(delay: float) -> int:
    """The delay in seconds rounded up, never below 0.

    Raises:
        ValueError: it is longer than `LONGEST_DELAY`, or not a number.
    """
    if not delay <= LONGEST_DELAY:
        raise ValueError(f"a delay of {delay} s is longer than {LONGEST_DELAY} s")
    return math.ceil(max(0.0, delay))


def first_level(seconds: int) -> int:
    """The highest level that holds a message of so many seconds, at least 1: it is published there."""
    return seconds.bit_length() - 1


def routing_key(seconds: int, queue: str) -> str:
    """What a message to `queue` is published with to wait so many seconds."""
    return f"{'.'.join(f'{seconds:0{LEVELS}b}')}.{queue}"


def level_name(level: int) -> str:
    """Of the level's exchange and of its queue."""
    return f"horae.v1.delay.{level:02}"


def holding_pattern(level: int) -> str:
    """The keys that the level's exchange sends into its queue: those whose bit is 1."""
    return _bit_pattern(level, 1)


def passing_pattern(level: int) -> str:
    """The keys that the level's exchange sends on to the next lower level: those whose bit is 0."""
    return _bit_pattern(level, 0)


def delivery_pattern(queue: str) -> str:
    """The keys that end in `queue`. Never `#.queue`: names may hold dots, and `b` would get the messages of `a.b`."""
    return "*." * LEVELS + queue


def _bit_pattern(level: int, bit: int) -> str:
    return "*." * (LEVELS - 1 - level) + f"{bit}.#"
