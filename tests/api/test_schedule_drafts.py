"""From what clients send to definitions: pure."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

import pytest

from horae.api import schedule_models
from horae.api.catalogue import Catalogue
from horae.api.models import TemplateIn
from horae.api.scan import Census
from horae.api.schedule_drafts import changed_definition, new_definition, previewed
from horae.domain.errors import InvalidInput
from horae.domain.schedule import Definition, Misfire, Overlap, Reason, ScheduleState, Verdict
from horae.domain.template import Template, understood
from horae.domain.timing import Fold, Gap, Timing
from horae.runtime.clock import SystemClock
from horae.store.base import HandlerInfo, RegistryStore
from tests.api.asking_schedules import a_schedule

NOW = datetime(2026, 3, 1, 12, 0, 0, 400_000, tzinfo=UTC)
ECHO = HandlerInfo("echo", {}, {"queue": "default.of.handler"})
STRICT = HandlerInfo(
    "strict", {"type": "object", "properties": {"to": {}}, "required": ["to"], "additionalProperties": False}, {}
)


@pytest.fixture
def catalogue() -> Catalogue:
    """Two handlers, and no registry to ask for more."""
    return Catalogue(cast("RegistryStore", None), SystemClock(), [ECHO, STRICT])


def new(catalogue: Catalogue, **fields: Any) -> Definition:
    item = a_schedule(**fields)
    return new_definition(item, Census(levels=50).add(item), catalogue)


def changed(catalogue: Catalogue, current: Definition, **fields: Any) -> Definition:
    return changed_definition(current, fields, Census(levels=50).add(fields), catalogue)


def refusal(call: Any, *arguments: Any, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        call(*arguments, **fields)
    return {error.field: error.message for error in refused.value.errors}


def test_what_is_left_out_is_left_to_the_domain(catalogue: Catalogue) -> None:
    assert new(catalogue) == Definition("nightly", Timing("0 * * * *"), Template("echo"))


def test_words_become_nouns_of_the_domain(catalogue: Catalogue) -> None:
    words = {"misfire": "skip", "overlap": "replace", "dst_gap": "fire_after", "dst_fold": "both"}
    made = new(catalogue, start_at="2026-06-01T12:00:00+02:00", **words)
    assert (made.misfire, made.overlap) == (Misfire.SKIP, Overlap.REPLACE)
    assert (made.timing.dst_gap, made.timing.dst_fold) == (Gap.FIRE_AFTER, Fold.BOTH)
    assert made.timing.start_at == datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (schedule_models.MisfireWord, Misfire),
        (schedule_models.OverlapWord, Overlap),
        (schedule_models.GapWord, Gap),
        (schedule_models.FoldWord, Fold),
        (schedule_models.ScheduleStateName, ScheduleState),
        (schedule_models.VerdictName, Verdict),
        (schedule_models.ReasonName, Reason),
    ],
)
def test_clients_know_the_words_of_the_domain(words: Any, kind: Any) -> None:
    assert set(get_args(words)) == {str(word) for word in kind}


def test_every_part_of_a_definition_can_be_said() -> None:
    said = set(schedule_models.ScheduleIn.model_fields)
    parts = {field.name for field in (*fields(Definition), *fields(Timing))} - {"timing", "template"} | {"job"}
    assert said == parts == set(schedule_models.SchedulePatch.model_fields)


def test_a_template_keeps_what_was_given_in_the_words_of_clients(catalogue: Catalogue) -> None:
    given = {
        "queue": "mail", "priority": "low", "max_retries": 5.0, "backoff": {"kind": "fixed", "base_seconds": 1},
        "timeout_seconds": 30, "tags": ["a"], "expires_at": "2027-01-01t00:00:00+01:00", "retry_for_seconds": 1.5,
    }  # fmt: skip
    template = new(catalogue, job={"handler": "echo", "payload": {"b": 1, "a": None}, **given}).template
    assert template.payload == '{"b":1,"a":null}'
    assert template.settings == given | {"expires_at": "2026-12-31T23:00:00Z"}
    assert understood(template.settings).keys() == given.keys()
    assert new(catalogue, job={"handler": "echo", "queue": "mail"}).template.settings == {"queue": "mail"}
    assert set(TemplateIn.model_fields) == {"handler", "payload", *given}


def test_job_and_schedule_are_judged_together(catalogue: Catalogue) -> None:
    job = {"handler": "strict", "payload": {"cc": 1}, "tags": "x", "run_at": "2026-01-01T00:00:00Z"}
    errors = refusal(new, catalogue, name="", job=job, colour="red")
    assert set(errors) == {"name", "job.payload.to", "job.payload.cc", "job.tags", "job.run_at", "colour"}


@pytest.mark.parametrize(
    ("name", "reason"), [("run_at", "fire time"), ("delay_seconds", "jitter_seconds"), ("idempotency_key", "two jobs")]
)
def test_what_a_template_has_not_is_refused_with_the_reason(catalogue: Catalogue, name: str, reason: str) -> None:
    errors = refusal(new, catalogue, job={"handler": "echo", name: "x"})
    assert reason in errors[f"job.{name}"]


def test_what_belongs_in_the_job_is_told_so(catalogue: Catalogue) -> None:
    errors = refusal(new, catalogue, payload={}, run_at="x", id="x")
    assert errors["payload"] == "is not known here: it belongs in job"
    assert "start_at" in errors["run_at"]
    assert errors["id"] == "is not known here"


def test_a_handler_is_judged_though_something_else_has_its_name(catalogue: Catalogue) -> None:
    assert set(refusal(new, catalogue, handler="echo", job={"handler": "nope"})) == {"handler", "job.handler"}


def test_bounds_may_be_one_moment_and_jitter_one_interval(catalogue: Catalogue) -> None:
    at = "2027-01-01T00:00:00Z"
    assert new(catalogue, start_at=at, end_at=at).timing.end_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert new(catalogue, interval_seconds=60, jitter_seconds=60).jitter_seconds == 60
    assert new(catalogue, cron="* * * * *", jitter_seconds=86_400).jitter_seconds == 86_400


def test_a_change_leaves_what_it_does_not_name(catalogue: Catalogue) -> None:
    current = new(catalogue, start_at="2026-01-01T00:00:00Z", max_runs=5, job={"handler": "echo", "queue": "a"})
    for name, value in {"misfire": "skip", "timezone": "Europe/Berlin", "name": "b"}.items():
        after = changed(catalogue, current, **{name: value})
        assert after != current
        assert changed(catalogue, after, misfire="fire_once", timezone="UTC", name="nightly") == current


def test_a_job_replaces_the_whole_template(catalogue: Catalogue) -> None:
    current = new(catalogue, job={"handler": "echo", "payload": {"a": 1}, "queue": "a"})
    assert changed(catalogue, current, job={"handler": "echo"}).template == Template("echo")


def test_an_interval_that_replaces_cron_leaves_its_start_to_the_store(catalogue: Catalogue) -> None:
    after = changed(catalogue, new(catalogue), interval_seconds=60)
    assert (after.timing.cron, after.timing.interval_seconds, after.timing.start_at) == (None, 60, None)


def test_a_change_of_nothing_is_refused(catalogue: Catalogue) -> None:
    assert refusal(changed, catalogue, new(catalogue)) == {"body": "holds nothing to change"}


def test_a_preview_needs_no_name_and_no_job(catalogue: Catalogue) -> None:
    asked, timing = previewed({"interval_seconds": 60}, 1, catalogue, NOW)
    assert timing.start_at == NOW - timedelta(microseconds=400_000)
    assert (asked.count, asked.begin, timing.cron) == (10, None, None)
    with pytest.raises(InvalidInput, match=r"job\.payload\.to"):
        previewed({"cron": "@daily", "job": {"handler": "strict"}}, 3, catalogue, NOW)


@pytest.mark.parametrize("item", [None, [], "x", 5])
def test_what_is_no_object_is_refused_as_a_whole(catalogue: Catalogue, item: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        new_definition(item, 0, catalogue)
    assert [error.field for error in refused.value.errors] == ["body"]
