"""How many jobs of a queue a worker starts in a second."""

from __future__ import annotations

import pytest

from horae.worker.rates import Rates
from tests.support.clock import ManualClock


@pytest.fixture
def rates(clock: ManualClock) -> Rates:
    return Rates(clock)


def second(rates: Rates, clock: ManualClock, seconds: float = 1.0, **starts: int) -> dict[str, float]:
    """The rates after a span with these starts."""
    for queue, count in starts.items():
        rates.started(queue, count)
    clock.turn(seconds)
    return dict(rates.current())


def test_a_rate_is_the_starts_of_the_last_span_by_its_length(rates: Rates, clock: ManualClock) -> None:
    assert second(rates, clock, mail=100, video=3) == {"mail": 100.0, "video": 3.0}
    assert second(rates, clock, 4.0, mail=100) == {"mail": 25.0}
    assert second(rates, clock) == {}


def test_within_a_span_the_last_one_counts(rates: Rates, clock: ManualClock) -> None:
    second(rates, clock, mail=100)
    assert second(rates, clock, 0.5, mail=7) == {"mail": 100.0}
    assert second(rates, clock, 0.5, mail=3) == {"mail": 10.0}


@pytest.mark.parametrize(
    ("told", "now", "changed"),
    [
        ({}, {}, False),
        ({}, {"mail": 10}, False),
        ({}, {"mail": 11}, True),
        ({"mail": 100}, {"mail": 130}, False),
        ({"mail": 100}, {"mail": 150}, True),
        ({"mail": 100}, {"mail": 60}, True),
        ({"mail": 100}, {}, True),
        ({"mail": 10}, {}, False),
        ({"mail": 100}, {"mail": 100, "video": 50}, True),
    ],
)
def test_a_much_changed_rate_is_worth_telling_before_the_next_renewal(
    rates: Rates, clock: ManualClock, told: dict[str, int], now: dict[str, int], changed: bool
) -> None:
    second(rates, clock, **told)
    rates.tell()
    second(rates, clock, **now)
    assert rates.changed() is changed
    rates.tell()
    assert not rates.changed()
