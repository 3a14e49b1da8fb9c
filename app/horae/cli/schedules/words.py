"""What is to be said of a schedule in a few words."""

from __future__ import annotations

from rich.text import Text

from horae.cli.output import word
from horae.cli.text import length
from horae.client import Schedule

_STATES = {"ACTIVE": "green", "PAUSED": "yellow", "ENDED": "bright_black"}

_VERDICTS = {
    "fired": "green",
    "skipped": "yellow",
    "coalesced": "yellow",
    "backfilled": "cyan",
    "missed": "red",
}

_BACKFILLS = {"RUNNING": "yellow", "DONE": "green", "CANCELLED": "bright_black"}


def state_word(schedule: Schedule) -> Text:
    """The state in its colour."""
    return word(schedule.state, _STATES.get(schedule.state, ""))


def verdict_word(verdict: str) -> Text:
    """The same of a line of the ledger."""
    return word(verdict, _VERDICTS.get(verdict, ""))


def backfill_word(state: str) -> Text:
    """The same of a backfill."""
    return word(state, _BACKFILLS.get(state, ""))


def rhythm(schedule: Schedule) -> str:
    """Its expression, or `every 5m`."""
    return schedule.cron or f"every {length(schedule.interval_seconds or 0)}"
