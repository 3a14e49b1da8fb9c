"""What a handler raises to say how its attempt shall be judged; any other exception is a failed attempt."""

from __future__ import annotations

import math
from datetime import timedelta

LONGEST_DELAY = 365 * 86400.0
"""seconds that a handler may ask for"""


class Retry(Exception):
    """Try again later, and don't count this attempt as a failure.

    `delay` is in seconds or a timedelta, at most a year; None leaves it to the job's backoff. The job ends FAILED when
    it was started 1,000 times.

    Raises:
        ValueError: the delay is negative, not finite, or longer than a year.
    """

    def __init__(self, delay: float | timedelta | None = None, reason: str = "") -> None:
        self.delay = None if delay is None else _seconds(delay)
        self.reason = str(reason)
        super().__init__(self.delay, reason)

    def __str__(self) -> str:
        return self.reason or "the handler asked for another try"


class Discard(Exception):
    """Give the job up: it ends FAILED now, whatever retries it has left."""

    def __init__(self, reason: str = "") -> None:
        self.reason = str(reason)
        super().__init__(reason)

    def __str__(self) -> str:
        return self.reason or "the handler gave the job up"


def _seconds(delay: float | timedelta) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_DELAY):
        raise ValueError(f"Retry(delay={delay!r}): the delay must be between 0 and {LONGEST_DELAY:.0f} seconds")
    return seconds
