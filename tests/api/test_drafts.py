from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest

from horae.api.catalogue import Catalogue
from horae.api.drafts import new_job, request_hash
from horae.api.scan import Census
from horae.domain.errors import InvalidInput
from horae.domain.ids import JobId
from horae.domain.job import NewJob, Priority
from horae.domain.retry import Backoff
from horae.domain.template import understood
from horae.runtime.clock import SystemClock
from horae.store.base import HandlerInfo, RegistryStore

MAIL = HandlerInfo(
    "mail.send",
    {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"], "additionalProperties": False},
    {"queue": "mail", "priority": "high", "max_retries": 7, "timeout_seconds": 30, "backoff": {"kind": "fixed"}},
)
FREE = HandlerInfo("free", {}, {})
ID = JobId("01a20acf-fe4b-7561-b550-6078429ff770")


def draft(key: str | None = None, **fields: Any) -> NewJob:
    catalogue = Catalogue(cast("RegistryStore", None), SystemClock(), [MAIL, FREE])
    return new_job(fields, Census(levels=50).add(fields), catalogue, ID, key)


def refused(key: str | None = None, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        draft(key, **fields)
    return {error.field: error.message for error in refusal.value.errors}


def test_what_is_left_out_takes_the_global_default() -> None:
    assert draft(handler="free") == NewJob(id=ID, handler="free")


def test_the_handlers_defaults_win_over_the_global_ones() -> None:
    job = draft(handler="mail.send", payload={"to": "a"})
    assert (job.queue, job.priority, job.max_retries, job.timeout_seconds) == ("mail", Priority.HIGH, 7, 30)
    assert job.backoff == Backoff("fixed")


def test_the_jobs_own_fields_win_over_all() -> None:
    own: dict[str, Any] = {
        "queue": "slow",
        "priority": "low",
        "max_retries": 0,
        "timeout_seconds": 5,
        "backoff": {"kind": "linear"},
    }
    job = draft(handler="mail.send", payload={"to": "a"}, **own)
    assert (job.queue, job.priority, job.max_retries, job.timeout_seconds) == ("slow", Priority.LOW, 0, 5)
    assert job.backoff == Backoff("linear")


def test_defaults_that_are_not_understood_are_left_out() -> None:
    assert understood({"queue": "mail", "color": "red", "max_retries": "many"}) == {"queue": "mail"}
    assert understood({"backoff": {"kind": "quadratic"}, "priority": "urgent"}) == {}


def test_times_are_read_in_any_zone() -> None:
    job = draft(handler="free", run_at="2026-06-01T12:00:00.5+02:00", expires_at="2026-06-01t10:00:01z")
    assert job.run_at == datetime(2026, 6, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert job.expires_at == datetime(2026, 6, 1, 10, 0, 1, tzinfo=UTC)


def test_every_wrong_field_is_named_at_once() -> None:
    errors = refused(handler="mail.sent", queue="A", max_retries=-1, colour="red", payload=[], backoff={"jitter": 2})
    assert set(errors) == {"handler", "queue", "max_retries", "colour", "payload", "backoff.jitter"}
    assert "mail.send" in errors["handler"]


def test_payload_and_fields_are_judged_together() -> None:
    assert set(refused(handler="mail.send", payload={"to": 5, "cc": "x"}, tags="x")) == {
        "payload.to",
        "payload.cc",
        "tags",
    }


@pytest.mark.parametrize("keys", [999, 1000])
def test_a_payload_may_have_a_thousand_keys(keys: int) -> None:
    payload = {str(number): number for number in range(keys)}
    assert orjson.loads(draft(handler="free", payload=payload).payload) == payload


def test_a_payload_may_not_have_more() -> None:
    inner = {str(number): {"x": number} for number in range(501)}
    assert refused(handler="free", payload=inner) == {"payload": "has 1,002 keys, more than 1,000"}


def test_a_payload_may_have_64_kib() -> None:
    text = "x" * (64 * 1024 - len('{"a":""}'))
    assert len(draft(handler="free", payload={"a": text}).payload) == 64 * 1024
    assert refused(handler="free", payload={"a": text + "x"}) == {
        "payload": "is 65,537 bytes long as JSON, more than 65,536"
    }


def test_times_that_exclude_one_another_are_refused() -> None:
    at = "2026-06-01T12:00:00Z"
    assert set(refused(handler="free", run_at=at, delay_seconds=0)) == {"delay_seconds"}
    assert set(refused(handler="free", run_at=at, expires_at=at)) == {"expires_at"}


def test_the_keys_of_header_and_body_must_agree() -> None:
    assert draft("k", handler="free", idempotency_key="k").idempotency_key == "k"
    assert set(refused("k", handler="free", idempotency_key="l")) == {"idempotency_key"}


def test_the_hash_tells_requests_apart_by_all_but_the_key() -> None:
    one = draft(handler="free", payload={"a": 1, "b": 2}, idempotency_key="k")
    same = draft("k", payload={"b": 2, "a": 1}, handler="free")
    other = draft("k", handler="free", payload={"a": 1, "b": 3})
    assert one.request_hash == same.request_hash != other.request_hash
    assert len(one.request_hash) == 32
    assert draft(handler="free").request_hash == b""


def test_what_was_given_counts_even_if_it_is_the_default() -> None:
    assert request_hash({"handler": "free"}) != request_hash({"handler": "free", "queue": "default"})
