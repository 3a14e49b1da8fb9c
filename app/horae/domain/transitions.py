"""The life of a job as data: every change of a job is one of these moves, and nothing else changes one.

Store, scheduler, worker and tests read this table. Each move names the states it may start from and the state it ends
in; the store writes both into the statement's WHERE and SET, beside the token that the caller must hold.

    T1 submit, T2 fire            -> PENDING
    T3 claim                      PENDING, RETRYING -> QUEUED
    T4 publish refused            QUEUED -> PENDING
    T5 start                      QUEUED, RETRYING -> RUNNING
    T6 give back unstarted        QUEUED, RETRYING -> PENDING
    T7 success                    RUNNING -> SUCCESS
    T8 failed, T10 `Retry`        RUNNING -> RETRYING
    T9 failed for good            RUNNING -> FAILED
    T11 cancel                    PENDING, QUEUED, RETRYING, RUNNING -> CANCELLED
    T12 rescue a hand-over        QUEUED -> PENDING
    T13 rescue an attempt         RUNNING -> RETRYING | FAILED | CANCELLED
    T14 give back running         RUNNING -> PENDING
    T15 retry by hand             FAILED, CANCELLED -> PENDING
    T16 edit                      PENDING -> PENDING
    T17 prune                     final -> gone
    T18 expire                    PENDING, QUEUED, RETRYING -> FAILED
    T19 progress                  RUNNING: state and token unchanged
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from horae.domain.job import FINAL, Outcome, State


class Wake(Enum):
    """What a move sets wake_at to: when any scheduler may take the row up again."""

    RUN_AT = "run_at"
    DISPATCH_LEASE = "now + dispatch lease"
    SOON = "now + 1 s"
    RUN_LEASE = "now + timeout + 2 x lease"
    CARRIED = "run_at, + 5 s while a delay message carries the row"
    NEVER = "NULL"
    KEEP = "unchanged"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table. `target` None keeps the state; `rises` says whether the token does."""

    row: str
    name: str
    sources: frozenset[State]
    target: State | None
    wake: Wake
    rises: bool = True
    starts: bool = False
    counts: bool = False
    outcome: Outcome | None = None


def _from(*states: State) -> frozenset[State]:
    return frozenset(states)


_P, _Q, _R, _T = State.PENDING, State.QUEUED, State.RUNNING, State.RETRYING

SUBMIT = Move("T1", "submit", _from(), _P, Wake.RUN_AT, rises=False)
FIRE = Move("T2", "fire", _from(), _P, Wake.RUN_AT, rises=False)
CLAIM = Move("T3", "claim", _from(_P, _T), _Q, Wake.DISPATCH_LEASE)
TAKE_BACK = Move("T4", "take back what the broker refused", _from(_Q), _P, Wake.SOON)
START = Move("T5", "start", _from(_Q, _T), _R, Wake.RUN_LEASE, rises=False, starts=True)
GIVE_BACK = Move("T6", "give back unstarted", _from(_Q, _T), _P, Wake.RUN_AT)
SUCCEED = Move("T7", "succeed", _from(_R), State.SUCCESS, Wake.NEVER, rises=False, outcome=Outcome.SUCCESS)
FAIL = Move("T8", "fail", _from(_R), _T, Wake.CARRIED, counts=True, outcome=Outcome.FAILED)
FAIL_FOR_GOOD = Move(
    "T9", "fail for good", _from(_R), State.FAILED, Wake.NEVER, rises=False, counts=True, outcome=Outcome.FAILED
)
RETRY_ASKED = Move("T10", "retry as the handler asked", _from(_R), _T, Wake.CARRIED, outcome=Outcome.RETRIED)
CANCEL = Move("T11", "cancel", _from(_P, _Q, _T), State.CANCELLED, Wake.NEVER)
ASK_CANCEL = Move("T11", "ask a running job to cancel", _from(_R), None, Wake.KEEP, rises=False)
CANCEL_RUNNING = Move(
    "T11", "cancel as asked", _from(_R), State.CANCELLED, Wake.NEVER, rises=False, outcome=Outcome.CANCELLED
)
RESCUE_HANDOVER = Move("T12", "rescue a hand-over", _from(_Q), _P, Wake.RUN_AT)
RESCUE_LOST = Move("T13", "rescue a lost attempt", _from(_R), _T, Wake.RUN_AT, outcome=Outcome.LOST)
RESCUE_LOST_FOR_GOOD = Move(
    "T13", "give up after too many losses", _from(_R), State.FAILED, Wake.NEVER, outcome=Outcome.LOST
)
RESCUE_LATE = Move(
    "T13", "rescue a timed-out attempt", _from(_R), _T, Wake.RUN_AT, counts=True, outcome=Outcome.TIMED_OUT
)
RESCUE_LATE_FOR_GOOD = Move(
    "T13", "give up a timed-out attempt", _from(_R), State.FAILED, Wake.NEVER, counts=True, outcome=Outcome.TIMED_OUT
)
RESCUE_CANCELLED = Move(
    "T13", "cancel a lost attempt as asked", _from(_R), State.CANCELLED, Wake.NEVER, outcome=Outcome.CANCELLED
)
RELEASE = Move("T14", "give back running", _from(_R), _P, Wake.RUN_AT, outcome=Outcome.RELEASED)
RETRY_BY_HAND = Move("T15", "retry by hand", _from(State.FAILED, State.CANCELLED), _P, Wake.RUN_AT)
EDIT = Move("T16", "edit", _from(_P), _P, Wake.RUN_AT)
PRUNE = Move("T17", "prune", FINAL, None, Wake.NEVER, rises=False)
EXPIRE = Move("T18", "expire", _from(_P, _Q, _T), State.FAILED, Wake.NEVER)
PROGRESS = Move("T19", "progress", _from(_R), None, Wake.KEEP, rises=False)

TABLE: tuple[Move, ...] = (
    SUBMIT,
    FIRE,
    CLAIM,
    TAKE_BACK,
    START,
    GIVE_BACK,
    SUCCEED,
    FAIL,
    FAIL_FOR_GOOD,
    RETRY_ASKED,
    CANCEL,
    ASK_CANCEL,
    CANCEL_RUNNING,
    RESCUE_HANDOVER,
    RESCUE_LOST,
    RESCUE_LOST_FOR_GOOD,
    RESCUE_LATE,
    RESCUE_LATE_FOR_GOOD,
    RESCUE_CANCELLED,
    RELEASE,
    RETRY_BY_HAND,
    EDIT,
    PRUNE,
    EXPIRE,
    PROGRESS,
)
