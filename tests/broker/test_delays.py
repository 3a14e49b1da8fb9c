"""The delay levels as arithmetic: what RabbitMQ would do with their keys and bindings, walked through without it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.broker import delays

QUEUES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
SECONDS = st.integers(1, delays.LONGEST_DELAY)


def matches(pattern: str, key: str) -> bool:
    """Whether a topic exchange sends the key along a binding: `*` is one word, `#` any number of them."""
    words = [{"*": "[^.]*", "#": ".*"}.get(word, re.escape(word)) for word in pattern.split(".")]
    return re.fullmatch(r"\.".join(words), key) is not None


@dataclass(frozen=True)
class Arrival:
    waited: int
    hops: int
    reached: frozenset[str]


def walk(seconds: int, queue: str, bound: frozenset[str]) -> Arrival:
    """Follows a message from the level it is published to until it is delivered."""
    key, level = delays.routing_key(seconds, queue), delays.first_level(seconds)
    waited = hops = 0
    while level >= 0:
        held = matches(delays.holding_pattern(level), key)
        assert held != matches(delays.passing_pattern(level), key), "exactly one way leads on"
        waited += held * 2**level
        hops += held
        level -= 1
    return Arrival(waited, hops, frozenset(name for name in bound if matches(delays.delivery_pattern(name), key)))


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (-5, 0),
        (-0.001, 0),
        (0, 0),
        (0.001, 1),
        (1, 1),
        (1.0001, 2),
        (2.999, 3),
        (4094.5, 4095),
        (4095, 4095),
        (float("-inf"), 0),
        (4095.001, None),
        (1e300, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_delays_are_rounded_up(delay: float, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="delay"):
            delays.whole_seconds(delay)
    else:
        assert delays.whole_seconds(delay) == seconds


@pytest.mark.parametrize(
    ("seconds", "level", "key"),
    [
        (1, 0, "0.0.0.0.0.0.0.0.0.0.0.1.mail"),
        (2, 1, "0.0.0.0.0.0.0.0.0.0.1.0.mail"),
        (3, 1, "0.0.0.0.0.0.0.0.0.0.1.1.mail"),
        (60, 5, "0.0.0.0.0.0.1.1.1.1.0.0.mail"),
        (2048, 11, "1.0.0.0.0.0.0.0.0.0.0.0.mail"),
        (4095, 11, "1.1.1.1.1.1.1.1.1.1.1.1.mail"),
    ],
)
def test_a_delay_names_its_first_level_and_its_key(seconds: int, level: int, key: str) -> None:
    assert delays.first_level(seconds) == level
    assert delays.routing_key(seconds, "mail") == key


def test_the_names_and_patterns_that_exist_in_brokers_never_change() -> None:
    assert delays.level_name(0) == "horae.v1.delay.00"
    assert delays.level_name(11) == "horae.v1.delay.11"
    assert delays.holding_pattern(11) == "1.#"
    assert delays.passing_pattern(11) == "0.#"
    assert delays.holding_pattern(9) == "*.*.1.#"
    assert delays.passing_pattern(0) == "*.*.*.*.*.*.*.*.*.*.*.0.#"
    assert delays.delivery_pattern("a.b") == "*.*.*.*.*.*.*.*.*.*.*.*.a.b"


def test_every_delay_is_waited_out_exactly_and_reaches_its_queue_alone() -> None:
    queues = frozenset({"a.b", "b", "a", "b.a", "0.a.b", "1"})
    for seconds in range(1, delays.LONGEST_DELAY + 1):
        arrival = walk(seconds, "a.b", queues)
        assert arrival == Arrival(seconds, seconds.bit_count(), frozenset({"a.b"}))


@settings(deadline=None)
@given(SECONDS, QUEUES, st.frozensets(QUEUES))
def test_no_name_of_a_queue_leads_anywhere_else(seconds: int, queue: str, others: frozenset[str]) -> None:
    assert walk(seconds, queue, others | {queue}) == Arrival(seconds, seconds.bit_count(), frozenset({queue}))


@settings(deadline=None)
@given(SECONDS, QUEUES)
def test_a_message_is_published_where_it_is_held_at_once(seconds: int, queue: str) -> None:
    level = delays.first_level(seconds)
    assert matches(delays.holding_pattern(level), delays.routing_key(seconds, queue))
    assert len(delays.routing_key(seconds, queue).encode()) <= 255
