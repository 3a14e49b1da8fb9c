from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from horae.cli.follow import LiveJob, plain_line
from horae.cli.output import Column, table
from horae.cli.situation import situation, starts
from horae.cli.text import as_json, clean, distance, length, line
from horae.client import Job
from horae.client.model import read
from tests.client.canned import job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = "\x1b[31mred\x07 \x9b2J \u202eright\r to left"


def a_job(**members: Any) -> Job:
    return read(Job, job(**members))


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def test_nothing_that_steers_a_terminal_passes() -> None:
    assert clean(EVIL) == r"\x1b[31mred\x07 \x9b2J \u202eright\x0d to left"
    assert clean("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert line(" two\nlines\n\n\tand a tab ") == "two lines and a tab"
    assert clean("Grüße, 漢字, 🙂") == "Grüße, 漢字, 🙂"


def test_json_stays_json_and_steers_nothing() -> None:
    text = as_json({"evil": EVIL, "at": NOW})
    assert not set(text) & set("\x1b\x07\x9b\u202e\r")
    assert json.loads(text) == {"evil": EVIL, "at": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0456, "46ms"),
        (1, "1s"),
        (1.25, "1.2s"),
        (9.96, "10s"),
        (59.6, "1m"),
        (185, "3m 5s"),
        (3600, "1h"),
        (3605, "1h"),
        (93_600, "1d 2h"),
        (864_000, "10d"),
    ],
)
def test_a_length_has_at_most_two_units(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_a_distance_has_a_direction() -> None:
    assert distance(None, NOW) == ""
    assert distance(NOW + timedelta(milliseconds=300), NOW) == "now"
    assert distance(NOW + timedelta(seconds=5), NOW) == "in 5s"
    assert distance(NOW - timedelta(hours=2), NOW) == "2h ago"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"state": "PENDING", "run_at": at(90)}, "starts in 1m 30s"),
        ({"state": "PENDING", "run_at": at(-1)}, "waits for a worker"),
        ({"state": "QUEUED"}, "on its way to a worker"),
        ({"state": "RUNNING"}, ""),
        ({"state": "RUNNING", "progress": {"value": 0.5, "message": "half"}}, "half"),
        ({"state": "RUNNING", "progress": {"value": 0.5, "message": None}}, ""),
        ({"state": "RUNNING", "cancel_requested": True}, "asked to stop"),
        ({"state": "RETRYING", "run_at": at(2.2)}, "again in 3s"),
        (
            {"state": "RETRYING", "run_at": at(-1), "error": {"type": "E", "message": "no\nluck"}},
            "again now, after E: no luck",
        ),
        ({"state": "SUCCESS", "result": {"a": [1, 2]}}, '{"a":[1,2]}'),
        ({"state": "SUCCESS"}, ""),
        ({"state": "FAILED", "error": {"type": "E", "message": "no"}}, "E: no"),
        ({"state": "CANCELLED"}, ""),
    ],
)
def test_a_situation_is_told_in_a_few_words(members: dict[str, Any], said: str) -> None:
    assert situation(a_job(**members), NOW) == said


def test_a_long_result_is_cut() -> None:
    said = situation(a_job(state="SUCCESS", result="x" * 10_000), NOW)
    assert len(said) == 200
    assert said.endswith("…")


def test_starts_are_counted_against_those_planned() -> None:
    assert starts(a_job(attempt=2, max_retries=3)) == "2 of 4"
    assert starts(a_job(attempt=9, max_retries=3)) == "9 of 9"


def test_a_plain_line_tells_state_attempt_progress_and_words() -> None:
    text = plain_line(a_job(state="RUNNING", attempt=1, progress={"value": 0.5, "message": "half"}))
    assert text.split("Z  ", 1)[1] == "RUNNING    attempt 1 of 4  50%  half"


def rendered(renderable: Any, width: int) -> list[str]:
    out = Console(width=width, markup=False)
    with out.capture() as captured:
        out.print(renderable)
    return [text.rstrip() for text in captured.get().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "RETRYING", "FAILED"])
def test_a_live_job_is_one_line_whatever_it_says(state: str, width: int) -> None:
    evil = "[bold]" + EVIL * 20 + "[/bold]"
    shown = a_job(
        state=state,
        attempt=1,
        error={"type": "E", "message": evil},
        progress={"value": 0.3, "message": evil},
    )
    assert len(rendered(LiveJob(shown), width)) == 1


def test_a_table_drops_columns_and_then_cuts_words() -> None:
    columns: list[Column[str]] = [
        Column("NAME", lambda row: row),
        Column("EXTRA", lambda _row: "extra", needs=60),
        Column("WORDS", lambda _row: "many words " * 10, words=True),
    ]
    wide, narrow = rendered(table(columns, ["a-name"], 60), 60), rendered(table(columns, ["a-name"], 40), 40)
    assert wide[0].split() == ["NAME", "EXTRA", "WORDS"]
    assert narrow[0].split() == ["NAME", "WORDS"]
    assert len(narrow) == 3
    assert narrow[2].startswith("a-name   many words")
    assert narrow[2].endswith("…")
