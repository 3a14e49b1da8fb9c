"""What becomes of an attempt: from how its handler ended to the move that is written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from horae.domain.job import MAX_STARTS, Failure, Outcome
from horae.domain.retry import Again, GiveUp, Standing, after_failure, after_request
from horae.domain.transitions import CANCEL_RUNNING, FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED, SUCCEED
from horae.store.base import Finish, Run


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned; `result` is JSON text, None for nothing."""

    result: str | None = None


@dataclass(frozen=True, slots=True)
class Broke:
    """The attempt failed: an error, a timeout, or the death of its own process. `final` allows no other try."""

    failure: Failure
    outcome: Outcome = Outcome.FAILED
    final: bool = False


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The handler raised `Retry`; `delay` in seconds, None for the backoff."""

    delay: float | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A user cancelled the job, and the handler has ended."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the job back: it drains, or has fenced itself."""


Ended = Returned | Broke | AskedAgain | Cancelled | Released


def judge(run: Run, ended: Ended, seconds: float, chance: float) -> Finish:
    """The finish to write for a run that took `seconds`; `chance` in [0, 1) places the backoff within its jitter."""
    match ended:
        case Returned(result):
            return Finish(run.reference, SUCCEED, Outcome.SUCCESS, result)
        case Cancelled():
            return Finish(run.reference, CANCEL_RUNNING, Outcome.CANCELLED)
        case Released():
            return Finish(run.reference, RELEASE, Outcome.RELEASED)
        case AskedAgain(delay, failure):
            decision = after_request(standing(run, seconds), delay, chance, MAX_STARTS)
            return _finish(run, decision, failure, Outcome.RETRIED)
        case Broke(failure, outcome, final):
            decision = GiveUp() if final else after_failure(standing(run, seconds), chance)
            return _finish(run, decision, failure, outcome)
    assert_never(ended)


def standing(run: Run, seconds: float) -> Standing:
    """What the retry policy needs to know."""
    return Standing(
        attempt=run.attempt,
        failures=run.failures,
        max_retries=run.max_retries,
        backoff=run.backoff,
        elapsed_seconds=run.elapsed + seconds,
        retry_for_seconds=run.retry_for_seconds,
    )


def _finish(run: Run, decision: Again | GiveUp, failure: Failure, outcome: Outcome) -> Finish:
    if isinstance(decision, Again):
        move = FAIL if decision.counted else RETRY_ASKED
        return Finish(run.reference, move, outcome, error=failure, delay=decision.seconds)
    if decision.why is not None:
        failure = Failure(failure.type, f"{failure.message} ({decision.why})", failure.traceback)
    kind = Outcome.FAILED if outcome is Outcome.RETRIED else outcome
    return Finish(run.reference, FAIL_FOR_GOOD, kind, error=failure)
