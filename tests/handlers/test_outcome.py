from __future__ import annotations

import math
import pickle
from datetime import timedelta

import pytest

from horae.handlers import Discard, Retry


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, None), (0, 0.0), (5, 5.0), (0.5, 0.5), (timedelta(minutes=2), 120.0)]
)
def test_the_delay_in_seconds(given: float | timedelta | None, seconds: float | None) -> None:
    assert Retry(delay=given).delay == seconds
    assert Retry(given).delay == seconds


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, 1e300, timedelta(days=366), timedelta(seconds=-1)])
def test_delays_that_no_job_could_wait(delay: float | timedelta) -> None:
    with pytest.raises(ValueError, match="delay must be between 0 and 31536000 seconds"):
        Retry(delay=delay)


def test_they_speak_for_themselves() -> None:
    assert str(Retry(reason="the shop is closed")) == "the shop is closed"
    assert str(Retry(5)) == "the handler asked for another try"
    assert str(Discard("no such invoice")) == "no such invoice"
    assert str(Discard()) == "the handler gave the job up"


def test_they_cross_processes() -> None:
    retry = pickle.loads(pickle.dumps(Retry(5, "later")))
    assert (retry.delay, retry.reason) == (5.0, "later")
    assert str(pickle.loads(pickle.dumps(Discard("why")))) == "why"
