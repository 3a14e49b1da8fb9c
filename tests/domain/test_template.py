"""From what a schedule says of its jobs, and a handler of all of its own, to the job of a fire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from horae.domain.ids import JobId
from horae.domain.job import NewJob, Priority
from horae.domain.retry import Backoff
from horae.domain.template import Template, understood

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = JobId("018f0000-0000-7000-8000-000000000000")


def test_the_schedules_word_wins_over_the_handlers_and_that_over_the_global_one() -> None:
    template = Template("mail.send", '{"to":"x"}', {"queue": "slow", "tags": ["a"]})
    defaults = {"queue": "mail", "max_retries": 9}
    assert template.job(ID, defaults, "s", NOW, NOW) == NewJob(
        ID, "mail.send", '{"to":"x"}', "slow", run_at=NOW, max_retries=9, tags=("a",), schedule_id="s", fire_time=NOW
    )


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({"priority": "high"}, {"priority": Priority.HIGH}),
        ({"backoff": {"kind": "fixed", "base_seconds": 5}}, {"backoff": Backoff("fixed", 5)}),
        ({"expires_at": "2026-03-01T12:00:00Z"}, {"expires_at": NOW}),
        ({"timeout_seconds": 7, "retry_for_seconds": 8}, {"timeout_seconds": 7.0, "retry_for_seconds": 8.0}),
        ({"queue": None}, {}),
    ],
)
def test_settings_are_read_as_clients_write_them(settings: dict[str, Any], read: dict[str, Any]) -> None:
    assert understood(settings) == read


@pytest.mark.parametrize(
    "settings",
    [
        {"priority": "urgent"},
        {"priority": 5},
        {"backoff": "fixed"},
        {"backoff": {"kind": "quadratic"}},
        {"backoff": {"of": "another release"}},
        {"max_retries": "many"},
        {"timeout_seconds": {}},
        {"tags": 5},
        {"expires_at": "tomorrow"},
        {"expires_at": 5},
        {"color": "red"},
    ],
)
def test_what_another_release_means_is_left_out(settings: dict[str, Any]) -> None:
    assert understood({**settings, "queue": "mail"}) == {"queue": "mail"}
