"""What is to be done that the server has what a file wants: pure, as tables."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from horae.cli.schedules.applying.diff import (
    DEFAULTS,
    FIELDS,
    Action,
    definition,
    differences,
    step,
    steps,
    told,
)
from horae.cli.schedules.applying.wanted import Entry, Place, Wanted
from horae.client import Schedule
from horae.client.model import read
from tests.client.canned import SCHEDULE, schedule

JOB: dict[str, Any] = {"handler": "echo", "payload": {"hello": "world"}}
SAME: dict[str, Any] = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "job": JOB,
    "source": "reports",
}
START = "2026-01-01T00:00:00Z"


def stored(**members: Any) -> Schedule:
    return read(Schedule, schedule(**{"source": "reports", **members}))


def entry(**members: Any) -> Entry:
    said = {name: value for name, value in {**SAME, **members}.items() if value is not None}
    return Entry(said["name"], said, Place("file.yaml", "schedules.0"))


def every(seconds: int, **members: Any) -> dict[str, Any]:
    return {"cron": None, "interval_seconds": seconds, **members}


def test_all_that_may_be_said_is_compared() -> None:
    shown = {part.name for part in fields(Schedule)}
    assert set(FIELDS) <= shown
    said_by_the_server = {
        *("id", "namespace", "version", "state", "next_fire_at", "last_fire_at", "runs", "tzdata", "description"),
        *("paused_at", "paused_by", "ended_reason", "created_at", "updated_at"),
    }
    assert shown - set(FIELDS) == said_by_the_server


def test_what_is_left_out_is_as_by_default() -> None:
    untouched = {"cron", "name", "job", "source", "timezone"}
    assert {name: DEFAULTS.get(name) for name in FIELDS if name not in untouched} == {
        name: SCHEDULE[name] for name in FIELDS if name not in untouched
    }
    assert DEFAULTS["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, {}),
        ({"cron": " 0  3 * * * "}, {}),
        ({"misfire_grace_seconds": 60.0, "jitter_seconds": 0}, {}),
        ({"job": {**JOB, "tags": ["b", "a"]}}, {"job": {**JOB, "tags": ["a", "b"]}}),
        ({"end_at": "2030-01-01T02:00:00+02:00"}, {"end_at": "2030-01-01T00:00:00Z"}),
        ({"job": {**JOB, "backoff": {"kind": "fixed"}}}, {"job": {**JOB, "backoff": {"kind": "fixed", "factor": 2.0}}}),
        ({"job": {"handler": "echo"}}, {"job": {"handler": "echo", "payload": {}}}),
        (every(60, timezone="UTC"), every(60, start_at=START, timezone="UTC")),
        (every(60, start_at=START, timezone="UTC"), every(60, start_at=START, timezone="UTC")),
    ],
    ids=str,
)
def test_two_ways_to_say_the_same_make_no_difference(said: dict[str, Any], found: dict[str, Any]) -> None:
    assert differences(entry(**said).fields, stored(**found)) == {}


@pytest.mark.parametrize(
    ("said", "found", "patch"),
    [
        ({"cron": "0 4 * * *"}, {}, {"cron": "0 4 * * *"}),
        ({"timezone": None}, {}, {"timezone": "UTC"}),
        ({"overlap": "skip"}, {}, {"overlap": "skip"}),
        ({}, {"overlap": "skip"}, {"overlap": "allow"}),
        ({}, {"max_runs": 5}, {"max_runs": None}),
        ({"max_runs": 5}, {}, {"max_runs": 5}),
        ({}, {"end_at": START}, {"end_at": None}),
        ({"end_at": START}, {}, {"end_at": START}),
        ({"end_at": "soon"}, {}, {"end_at": "soon"}),
        ({"job": {"handler": "noop"}}, {}, {"job": {"handler": "noop"}}),
        ({"job": {**JOB, "priority": "high"}}, {}, {"job": {**JOB, "priority": "high"}}),
        (every(60), {}, {"interval_seconds": 60}),
        ({}, every(60, start_at=START), {"cron": "0 3 * * *", "start_at": None}),
        (every(60), every(30, start_at=START), {"interval_seconds": 60}),
        (every(60, start_at=START), every(60, start_at="2026-01-02T00:00:00Z"), {"start_at": START}),
        ({"jitter": 5}, {}, {"jitter": 5}),
        ({"state": "ACTIVE"}, {}, {"state": "ACTIVE"}),
    ],
    ids=str,
)
def test_only_what_differs_is_changed(said: dict[str, Any], found: dict[str, Any], patch: dict[str, Any]) -> None:
    decided = step(entry(**said), stored(**found), adopt=False)
    assert decided.action is Action.UPDATE
    assert decided.patch() == patch


@pytest.mark.parametrize(
    ("said", "moves"),
    [
        ({"cron": "0 4 * * *"}, True),
        ({"dst_gap": "skip"}, True),
        ({"overlap": "skip"}, False),
        ({"max_runs": 5}, False),
    ],
    ids=str,
)
def test_a_step_knows_whether_it_moves_fires(said: dict[str, Any], moves: bool) -> None:
    assert step(entry(**said), stored(), adopt=False).moves is moves


@pytest.mark.parametrize(
    ("source", "adopt", "action"),
    [
        ("reports", False, Action.KEEP),
        (None, False, Action.REFUSE),
        ("others", False, Action.REFUSE),
        (None, True, Action.UPDATE),
        ("others", True, Action.UPDATE),
    ],
)
def test_what_belongs_to_others_is_taken_over_on_request_only(source: str | None, adopt: bool, action: Action) -> None:
    decided = step(entry(), stored(source=source), adopt=adopt)
    assert decided.action is action
    assert decided.patch() == ({"source": "reports"} if action is Action.UPDATE else {})


@pytest.mark.parametrize(("prune", "gone"), [(False, Action.STRAY), (True, Action.DELETE)])
def test_what_the_file_does_not_hold_any_more(prune: bool, gone: Action) -> None:
    there = [stored(), stored(name="old"), stored(name="by hand", source=None), stored(name="other", source="others")]
    wanted = Wanted("reports", (entry(name="new"), entry()))
    assert [(one.action, one.name) for one in steps(wanted, there, prune=prune, adopt=False)] == [
        (Action.CREATE, "new"),
        (Action.KEEP, "nightly"),
        (gone, "old"),
    ]
    assert [one.writes for one in steps(wanted, there, prune=prune, adopt=False)] == [True, False, prune]


@pytest.mark.parametrize(
    ("said", "found", "differs"),
    [
        (every(60, timezone="UTC"), {"timezone": "UTC"}, {"cron": None, "interval_seconds": 60}),
        ({}, every(60, start_at=START), {"cron": "0 3 * * *", "interval_seconds": None, "start_at": None}),
        (every(60), every(30, start_at=START), {"cron": None, "interval_seconds": 60}),
    ],
    ids=str,
)
def test_the_whole_definition_after_a_step(
    said: dict[str, Any], found: dict[str, Any], differs: dict[str, Any]
) -> None:
    before = stored(**found)
    whole = definition(step(entry(**said), before, adopt=False))
    assert {name: whole.get(name) for name in differs} == differs
    assert None not in whole.values()
    assert whole.get("start_at") == (None if "start_at" in differs else before.start_at)


def test_a_changed_job_is_told_part_by_part() -> None:
    new = {"handler": "echo", "queue": "mail", "tags": ["a"]}
    old = {**JOB, "tags": ["a"], "max_retries": 5}
    assert list(told({"overlap": ("allow", "skip"), "job": (old, new)})) == [
        ("overlap", "allow", "skip"),
        ("job.max_retries", 5, None),
        ("job.payload", {"hello": "world"}, None),
        ("job.queue", None, "mail"),
    ]
