"""Retry policy: pure arithmetic, and the decision what becomes of a job whose attempt has ended.

Backoff = kind(n) x (1 +- jitter) from the end of the n-th counted failure: exponential `base * factor^(n-1)`,
linear `base * n`, fixed `base`; capped at `max_seconds` before the jitter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never

Kind = Literal["exponential", "linear", "fixed"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a job waits before its next attempt."""

    kind: Kind = "exponential"
    base_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 3600.0
    jitter: float = 0.1

    def seconds(self, failures: int, chance: float) -> float:
        """The pause after the n-th counted failure (n >= 1); `chance` in [0, 1) places it within the jitter."""
        plain = min(self._plain(failures), self.max_seconds)
        return plain * (1 + self.jitter * (2 * chance - 1))

    def _plain(self, failures: int) -> float:
        match self.kind:
            case "exponential":
                return self._power(failures - 1)
            case "linear":
                return self.base_seconds * failures
            case "fixed":
                return self.base_seconds
        assert_never(self.kind)

    def _power(self, exponent: int) -> float:
        # A float power overflows with an exception: past the cap the exact value is of no interest.
        try:
            return self.base_seconds * math.pow(self.factor, exponent)
        except OverflowError:
            return self.max_seconds


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `seconds`; `counted` says whether the attempt counts as a failure."""

    seconds: float
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed for good; `why` is None when its retries are used up."""

    why: str | None = None


Decision = Again | GiveUp


@dataclass(frozen=True, slots=True)
class Standing:
    """What the decision needs to know of a job whose attempt has just ended.

    `failures` are those before this one; `elapsed_seconds` since the first start of the round.
    """

    attempt: int
    failures: int
    max_retries: int
    backoff: Backoff
    elapsed_seconds: float = 0.0
    retry_for_seconds: float | None = None


def after_failure(job: Standing, chance: float) -> Decision:
    """The decision after an attempt that counts: rows T8 and T9."""
    if job.failures >= job.max_retries:
        return GiveUp()
    seconds = job.backoff.seconds(job.failures + 1, chance)
    if job.retry_for_seconds is not None and job.elapsed_seconds + seconds > job.retry_for_seconds:
        return GiveUp(f"the next attempt would start later than retry_for_seconds ({job.retry_for_seconds:g}) allows")
    return Again(seconds, counted=True)


def after_request(job: Standing, seconds: float | None, chance: float, max_starts: int) -> Decision:
    """The decision after the handler asked for another try: rows T10 and T9."""
    if job.attempt >= max_starts:
        return GiveUp(f"the handler asked for another try, and the job was started {job.attempt} times")
    return Again(job.backoff.seconds(job.failures + 1, chance) if seconds is None else seconds, counted=False)
