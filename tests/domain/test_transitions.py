"""The table of moves, written down a second time: whoever changes a rule must say so twice."""

from __future__ import annotations

import pytest

from horae.domain.job import FINAL, WAITING, Outcome, State
from horae.domain.transitions import TABLE, Move, Wake

PAGE = """
T1  submit                           -          PENDING   =  =  =  RUN_AT          -
T2  fire                             -          PENDING   =  =  =  RUN_AT          -
T3  claim                            P T        QUEUED    +  =  =  DISPATCH_LEASE  -
T4  take back what the broker refused  Q        PENDING   +  =  =  SOON            -
T5  start                            Q T        RUNNING   =  +  =  RUN_LEASE       -
T6  give back unstarted              Q T        PENDING   +  =  =  RUN_AT          -
T7  succeed                          R          SUCCESS   =  =  =  NEVER           success
T8  fail                             R          RETRYING  +  =  +  CARRIED         failed
T9  fail for good                    R          FAILED    =  =  +  NEVER           failed
T10 retry as the handler asked       R          RETRYING  +  =  =  CARRIED         retried
T11 cancel                           P Q T      CANCELLED +  =  =  NEVER           -
T11 ask a running job to cancel      R          -         =  =  =  KEEP            -
T11 cancel as asked                  R          CANCELLED =  =  =  NEVER           cancelled
T12 rescue a hand-over               Q          PENDING   +  =  =  RUN_AT          -
T13 rescue a lost attempt            R          RETRYING  +  =  =  RUN_AT          lost
T13 give up after too many losses    R          FAILED    +  =  =  NEVER           lost
T13 rescue a timed-out attempt       R          RETRYING  +  =  +  RUN_AT          timed_out
T13 give up a timed-out attempt      R          FAILED    +  =  +  NEVER           timed_out
T13 cancel a lost attempt as asked   R          CANCELLED +  =  =  NEVER           cancelled
T14 give back running                R          PENDING   +  =  =  RUN_AT          released
T15 retry by hand                    F C        PENDING   +  =  =  RUN_AT          -
T16 edit                             P          PENDING   +  =  =  RUN_AT          -
T17 prune                            S F C      -         =  =  =  NEVER           -
T18 expire                           P Q T      FAILED    +  =  =  NEVER           -
T19 progress                         R          -         =  =  =  KEEP            -
"""
"""row, name, from, to, and whether token, attempt and failures rise; wake_at; the attempt's outcome"""

LETTERS = {
    "P": State.PENDING,
    "Q": State.QUEUED,
    "R": State.RUNNING,
    "T": State.RETRYING,
    "S": State.SUCCESS,
    "F": State.FAILED,
    "C": State.CANCELLED,
}


def line(move: Move) -> list[str]:
    """The move as the page above writes it."""
    names = {state: letter for letter, state in LETTERS.items()}
    sources = [letter for letter in names.values() if LETTERS[letter] in move.sources] or ["-"]
    rises = ["+" if it else "=" for it in (move.rises, move.starts, move.counts)]
    outcome = move.outcome.value if move.outcome else "-"
    return [move.row, *move.name.split(), *sources, move.target or "-", *rises, move.wake.name, outcome]


def test_the_table_is_the_page() -> None:
    assert [line(move) for move in TABLE] == [entry.split() for entry in PAGE.strip().splitlines()]


@pytest.mark.parametrize("move", TABLE, ids=lambda move: f"{move.row} {move.name}")
class TestEveryMove:
    def test_wakes_never_exactly_where_it_ends_the_job(self, move: Move) -> None:
        ends = move.target in FINAL or move.row == "T17"
        assert (move.wake is Wake.NEVER) is ends

    def test_keeps_the_deadline_exactly_where_it_keeps_the_state(self, move: Move) -> None:
        assert (move.wake is Wake.KEEP) is (move.target is None and move.row != "T17")

    def test_raises_the_token_whenever_the_job_changes_hands(self, move: Move) -> None:
        # Only T5, T7, T9 and T11 of a running job leave it: the same holder goes on, or nobody comes after.
        leaves_hands = move.target in WAITING or (move.target in FINAL and move.sources <= WAITING)
        assert move.rises or not leaves_hands or not move.sources

    def test_writes_an_outcome_exactly_where_a_run_ends(self, move: Move) -> None:
        ends_a_run = move.sources == {State.RUNNING} and move.target is not None
        assert (move.outcome is not None) is ends_a_run

    def test_counts_a_failure_only_for_a_failed_or_timed_out_attempt(self, move: Move) -> None:
        assert not move.counts or move.outcome in {Outcome.FAILED, Outcome.TIMED_OUT}

    def test_leaves_a_final_state_only_by_hand(self, move: Move) -> None:
        if move.sources & FINAL:
            assert move.row in {"T15", "T17"}


def test_every_state_can_be_left_or_is_final() -> None:
    for state in set(State) - FINAL:
        assert any(state in move.sources and move.target not in (None, state) for move in TABLE), state


def test_every_state_can_be_cancelled_or_is_final() -> None:
    cancels = [move for move in TABLE if move.row == "T11"]
    assert frozenset().union(*(move.sources for move in cancels)) == set(State) - FINAL
