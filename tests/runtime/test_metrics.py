from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from horae.domain.job import Outcome, State
from horae.runtime.metrics import OTHER, QUEUE_LIMIT, Metrics

CONTRACT = {
    "horae_jobs_submitted_total": {"queue"},
    "horae_jobs_finished_total": {"queue", "state"},
    "horae_attempts_total": {"queue", "outcome"},
    "horae_job_lateness_seconds_count": set(),
    "horae_job_duration_seconds_count": set(),
    "horae_queue_depth": {"queue", "state"},
    "horae_claim_seconds_count": set(),
    "horae_rescued_total": {"kind"},
    "horae_stale_writes_total": set(),
    "horae_deliveries_dropped_total": {"reason"},
    "horae_schedule_fires_total": {"outcome"},
    "horae_schedule_absences_total": set(),
    "horae_worker_slots": {"state"},
}


def everything() -> Metrics:
    """Metrics in which each has happened."""
    metrics = Metrics()
    metrics.jobs_submitted("mail", 3)
    metrics.jobs_finished("mail", State.SUCCESS)
    metrics.attempt_ended("mail", Outcome.TIMED_OUT, 0.2)
    metrics.job_started(0.004)
    metrics.claimed(0.02)
    metrics.handovers_rescued(2)
    metrics.attempts_rescued({Outcome.LOST: 4, Outcome.CANCELLED: 1})
    metrics.jobs_expired(5)
    metrics.stale_writes()
    metrics.deliveries_dropped("stale", 7)
    metrics.schedule_fired("fired")
    metrics.absence()
    metrics.worker_slots(running=60, free=40)
    metrics.queue_depths({"mail": {State.PENDING: 8, State.RUNNING: 2}})
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def samples(metrics: Metrics) -> dict[str, set[str]]:
    """Each sample's name with its labels."""
    body, _ = await metrics.render()
    return {s.name: set(s.labels) for family in parse_text(body.decode()) for s in family.samples}


async def test_names_and_labels_are_those_of_the_contract() -> None:
    shown = await samples(everything())
    assert {name: labels for name, labels in shown.items() if name in CONTRACT} == CONTRACT
    series = {name.removesuffix("_count") + part for name in CONTRACT for part in ("", "_count", "_sum", "_bucket")}
    assert shown.keys() <= series


def test_each_word_counts_what_it_says() -> None:
    metrics = everything()
    assert value(metrics, "horae_jobs_submitted_total", queue="mail") == 3
    assert value(metrics, "horae_jobs_finished_total", queue="mail", state="SUCCESS") == 1
    assert value(metrics, "horae_attempts_total", queue="mail", outcome="timed_out") == 1
    assert value(metrics, "horae_job_duration_seconds_sum") == 0.2
    assert value(metrics, "horae_job_lateness_seconds_bucket", le="0.0025") == 0
    assert value(metrics, "horae_job_lateness_seconds_bucket", le="0.005") == 1
    assert value(metrics, "horae_claim_seconds_count") == 1
    kinds = {"handover": 2, "lost": 4, "cancelled": 1, "expired": 5}
    assert {kind: value(metrics, "horae_rescued_total", kind=kind) for kind in kinds} == kinds
    assert value(metrics, "horae_stale_writes_total") == 1
    assert value(metrics, "horae_deliveries_dropped_total", reason="stale") == 7
    assert value(metrics, "horae_schedule_fires_total", outcome="fired") == 1
    assert value(metrics, "horae_schedule_absences_total") == 1
    assert value(metrics, "horae_worker_slots", state="running") == 60
    assert value(metrics, "horae_worker_slots", state="free") == 40
    assert value(metrics, "horae_queue_depth", queue="mail", state="PENDING") == 8


def test_an_attempt_of_unknown_length_has_no_duration() -> None:
    metrics = Metrics()
    metrics.attempt_ended("mail", Outcome.LOST)
    assert value(metrics, "horae_attempts_total", queue="mail", outcome="lost") == 1
    assert value(metrics, "horae_job_duration_seconds_count") == 0


def test_a_start_before_its_time_by_clocks_apart_is_not_late() -> None:
    metrics = Metrics()
    metrics.job_started(-0.01)
    assert value(metrics, "horae_job_lateness_seconds_sum") == 0
    assert value(metrics, "horae_job_lateness_seconds_count") == 1


def test_two_of_them_share_nothing() -> None:
    everything()
    assert value(Metrics(), "horae_stale_writes_total") == 0


def test_queues_beyond_the_limit_are_counted_together() -> None:
    metrics = Metrics()
    for n in range(QUEUE_LIMIT + 50):
        metrics.jobs_submitted(f"queue-{n}")
    metrics.jobs_submitted("queue-7")
    assert value(metrics, "horae_jobs_submitted_total", queue="queue-7") == 2
    assert value(metrics, "horae_jobs_submitted_total", queue=f"queue-{QUEUE_LIMIT}") is None
    assert value(metrics, "horae_jobs_submitted_total", queue=OTHER) == 50


def test_depths_beyond_the_limit_add_up() -> None:
    metrics = Metrics(queue_limit=1)
    metrics.queue_depths({"a": {State.PENDING: 1}, "b": {State.PENDING: 2}, "c": {State.PENDING: 3}})
    assert value(metrics, "horae_queue_depth", queue="a", state="PENDING") == 1
    assert value(metrics, "horae_queue_depth", queue=OTHER, state="PENDING") == 5


def test_depths_replace_those_before() -> None:
    metrics = Metrics()
    metrics.queue_depths({"a": {State.PENDING: 1}, "b": {State.QUEUED: 2}})
    metrics.queue_depths({"a": {State.PENDING: 4}})
    assert value(metrics, "horae_queue_depth", queue="a", state="PENDING") == 4
    assert value(metrics, "horae_queue_depth", queue="b", state="QUEUED") is None


PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


@pytest.mark.parametrize("accept", ["application/openmetrics-text", PROMETHEUS])
async def test_openmetrics_for_those_who_ask(accept: str) -> None:
    body, content_type = await everything().render(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert len(list(parse_openmetrics(body.decode()))) == len(CONTRACT)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("accept", ["", "*/*", "text/html, application/xml;q=0.9", ";;,,=", "text/plain;version=no"])
async def test_plain_text_for_everyone_else(accept: str) -> None:
    body, content_type = await everything().render(accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert len(list(parse_text(body.decode()))) == len(CONTRACT)
