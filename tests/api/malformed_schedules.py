"""What must be refused about schedules: what is sent where, and the field that the answer must name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tests.api.asking_schedules import a_schedule
from tests.api.malformed import _NOT_NAMES as NOT_NAMES
from tests.api.malformed import _NOT_TIMES as NOT_TIMES
from tests.api.malformed import _NOT_TIMES_OF_OURS as NOT_TIMES_OF_OURS

Where = Literal["create", "change", "preview", "backfill"]

MODELS = {"create": "ScheduleIn", "change": "SchedulePatch", "preview": "PreviewIn", "backfill": "BackfillIn"}


ID = "019ca945-0de8-7051-9c2b-d802a6c7b6b0"


@dataclass(frozen=True)
class BadSchedule:
    """A body, and what is to be said about it."""

    name: str
    where: Where
    raw: bytes
    field: str
    status: int = 422
    said: bool = False
    """whether a JSON schema can say it too"""


def _body(where: Where, **fields: Any) -> dict[str, Any]:
    match where:
        case "create":
            return a_schedule() | fields
        case "change":
            return fields
        case "preview":
            return {"cron": "@daily"} | fields
        case "backfill":
            return {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"} | fields


def _bad(where: Where, field: str, value: Any, at: str | None = None, *, said: bool = True) -> BadSchedule:
    raw = orjson.dumps(_body(where, **{field: value}))
    return BadSchedule(f"{where}: {field}={value!r:.40}", where, raw, at or field, said=said)


def _everywhere(field: str, value: Any, at: str | None = None, *, said: bool = True) -> Iterator[BadSchedule]:
    """In a new schedule, and in turn in a change and in a preview."""
    others: tuple[Where, Where] = ("change", "preview")
    for where in ("create", others[len(repr(value)) % 2]):
        yield _bad(where, field, value, at, said=said)


_NOT_WHOLE: list[Any] = ["5", True, 1.5, [], {}]
_WRONG_TYPES: dict[str, list[Any]] = {
    "name": [None, 1, True, [], {}, ["a"]],
    "cron": [None, 5, True, ["* * * * *"], {}],
    "timezone": [None, 0, 60, True, [], {}],
    "dst_gap": [None, 1, True, []],
    "dst_fold": [None, 1, True, []],
    "jitter_seconds": [None, *_NOT_WHOLE],
    "misfire": [None, 1, True, []],
    "misfire_grace_seconds": [None, *_NOT_WHOLE],
    "overlap": [None, 1, True, []],
    "start_at": [0, 1767225600, True, []],
    "end_at": [0, 1767225600, True, {}],
    "max_runs": _NOT_WHOLE,
    "must_succeed_within_seconds": _NOT_WHOLE,
    "source": [1, True, []],
    "job": [None, 1, "echo", True, [], [{"handler": "echo"}]],
}
_NULL_IN_A_PATCH = ("start_at", "end_at", "max_runs", "must_succeed_within_seconds", "source")


def _wrong_types() -> Iterator[BadSchedule]:
    for field, values in _WRONG_TYPES.items():
        for value in values:
            yield _bad("create", field, value)
            yield _bad("change", field, value)
    for field in _NULL_IN_A_PATCH:
        yield _bad("create", field, None)
        yield _bad("preview", field, None)
    for value in [None, *_NOT_WHOLE]:
        raw = orjson.dumps({"name": "a", "interval_seconds": value, "job": {"handler": "echo"}})
        yield BadSchedule(f"create: interval_seconds={value!r}", "create", raw, "interval_seconds", said=True)
        yield _bad("change", "interval_seconds", value)


_NOT_CRON = [
    "", " ", "*", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
    "* * * 0 *", "* * * * 8", "-1 * * * *", "*/0 * * * *", "5/ * * * *", "1- * * * *", "1,,2 * * * *", ", * * * *",
    "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 ? ? ?", "@reboot", "@fortnightly", "@every 5m", "H * * * *", "R * * * *",
    "0 0 L-3 * *", "0 0 * * L", "0 0 * * MON#6", "0 0 * * XYZ", "0 0 W * *", "0 0 * * 1W", "*\n* * * *",
    "* * * *\u00a0*", "٣ * * * *", "0 0 * * MON;", "$(id)", "* * * * *; rm -rf /", "a" * 257,
    "1," * 120_000 + "1 * * * *",
]  # fmt: skip
_NOT_ZONES = [
    "", " ", "utc", "Europe/Berln", "europe/berlin", "CEST", "+02:00", "UTC+2", "GMT+2", "Berlin", "Europe/",
    "/etc/localtime", "../UTC", "Europe/Berlin ", "Europe/Berlin\x00", "a" * 65, "Mars/Olympus", "localtime",
    "posixrules",
]  # fmt: skip


def _wrong_values() -> Iterator[BadSchedule]:
    for text in _NOT_CRON:
        yield from _everywhere("cron", text, said=False)
    for name in _NOT_ZONES:
        yield from _everywhere("timezone", name, said=False)
    yield from (_bad("create", "name", name) for name in ("", "a\nb", "a\x00", "\x7f", "x" * 256))
    yield from (_bad("create", "name", name, said=False) for name in (" a", "a ", "\u00a0a", "ä" * 128, ID))
    yield from (_bad("change", "source", source) for source in ("", "a\nb", "x" * 256))
    yield from (_bad("create", "start_at", text) for text in NOT_TIMES)
    yield from (_bad("preview", "end_at", text) for text in NOT_TIMES[:10])
    for text in NOT_TIMES_OF_OURS:
        yield from (_bad("change", field, text, said=False) for field in ("start_at", "end_at"))
    words = {
        "misfire": ["", "Skip", "fire", "fire-once", "ignore", "fire_once "],
        "overlap": ["", "forbid", "Allow", "cancel", "queue"],
        "dst_gap": ["", "both", "first", "Skip"],
        "dst_fold": ["", "skip", "fire_after", "last"],
    }
    for field, values in words.items():
        for value in values:
            yield from _everywhere(field, value)


def _wrong_numbers() -> Iterator[BadSchedule]:
    bounds = {
        "jitter_seconds": (-1, 86_401), "misfire_grace_seconds": (-1, 31_536_001),
        "must_succeed_within_seconds": (0, -1, 31_536_001), "max_runs": (0, -1, 1_000_000_001),
    }  # fmt: skip
    for field, values in bounds.items():
        for value in (*values, 2**31, 2**62, 1e300):
            yield from _everywhere(field, value)
    for value in (0, -1, 315_360_001, 2**31, 1e300):
        yield _bad("change", "interval_seconds", value)
    counts: list[Any] = [0, -1, 1001, 1.5, "5", None, True]
    yield from (_bad("preview", "count", value) for value in counts)


def _not_together() -> Iterator[BadSchedule]:
    def body(what: str, where: Where, field: str, /, *, said: bool = False, **fields: Any) -> BadSchedule:
        return BadSchedule(f"{where}: {what}", where, orjson.dumps(fields), field, said=said)

    job = {"handler": "echo"}
    both = {"cron": "@daily", "interval_seconds": 60}
    yield body("both", "create", "interval_seconds", said=True, name="a", job=job, **both)
    yield body("both", "change", "interval_seconds", said=True, **both)
    yield body("both", "preview", "interval_seconds", said=True, **both)
    yield body("none", "create", "cron", said=True, name="a", job=job)
    yield body("none", "preview", "cron", said=True, timezone="UTC")
    yield body("nothing", "change", "body", said=True)
    yield body("nothing", "backfill", "from", said=True)
    yield body("no name", "create", "name", said=True, cron="@daily", job=job)
    yield body("no job", "create", "job", said=True, name="a", cron="@daily")
    yield body("no interval", "change", "start_at", interval_seconds=60, start_at=None)
    span: dict[str, Any] = {"start_at": "2026-02-01T00:00:00Z", "end_at": "2026-01-31T23:59:59Z"}
    yield body("ends before it starts", "create", "end_at", **a_schedule(**span))
    yield body("ends before it starts", "change", "end_at", **span)
    yield body("ends before it starts", "preview", "end_at", cron="@daily", **span)
    yield body("ended", "create", "end_at", **a_schedule(end_at="2026-01-01T00:00:00Z"))
    for where in ("create", "change", "preview"):
        named: dict[str, Any] = {"name": "a", "job": job} if where == "create" else {}
        yield body("jitter", where, "jitter_seconds", interval_seconds=60, jitter_seconds=61, **named)
    late = {"handler": "echo", "expires_at": "2026-02-01T00:00:00Z"}
    yield body("expired", "create", "job.expires_at", **a_schedule(job=late, start_at="2026-02-01T00:00:00Z"))
    backwards: dict[str, Any] = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T23:59:59Z"}
    yield body("backwards", "backfill", "to", **backwards)


def _unknown_fields() -> Iterator[BadSchedule]:
    columns = [
        "id", "namespace", "version", "state", "next_fire_at", "last_fire_at", "runs", "paused_at", "paused_by",
        "ended_reason", "tzdata", "created_at", "updated_at", "description", "caught_up", "pauses", "earlier", "since",
        "streak", "settings", "next_fires", "schedule", "expression", "tz", "enabled", "catchup", "jitter", "__class__",
        "Name", "cron ", "handler", "payload", "queue", "priority", "max_retries", "backoff", "timeout_seconds", "tags",
        "run_at", "delay_seconds", "idempotency_key", "begin",
    ]  # fmt: skip
    for name in columns:
        yield _bad("create", name, 1)
    for name in ("id", "state", "version", "runs", "next_fire_at", "tzdata", "payload", "namespace"):
        yield _bad("change", name, 1)
    yield from (_bad("create", name, 1) for name in ("count", "from"))
    yield from (_bad("preview", name, 1) for name in ("to", "begin", "limit", "id"))
    yield from (_bad("backfill", name, 1) for name in ("begin", "end", "state", "id", "timing", "name"))


def _jobs() -> Iterator[BadSchedule]:
    def job(at: str, name: str | None = None, *, said: bool = True, **fields: Any) -> Iterator[BadSchedule]:
        for where in ("create", "change"):
            bad = _bad(where, "job", {"handler": "echo"} | fields, f"job.{at}", said=said)
            yield BadSchedule(f"{where}: job {name or f'{fields!r:.50}'}", where, bad.raw, bad.field, said=said)

    elsewhere: dict[str, Any] = {"run_at": "2027-01-01T00:00:00Z", "delay_seconds": 5, "idempotency_key": "k"}
    for field, value in elsewhere.items():
        yield from job(field, **{field: value})
    wrong: dict[str, list[Any]] = {
        "handler": [None, 1, *NOT_NAMES[:6]], "payload": [None, "{}", []], "queue": [None, "A", ""],
        "priority": [None, "urgent", 1], "max_retries": [None, -1, 101, "3"], "backoff": [None, "fixed", []],
        "timeout_seconds": [None, 0, "5", 604_801], "tags": [None, "a", ["a", "a"]], "expires_at": [None, "soon", 0],
        "retry_for_seconds": [None, -1, "60"], "cron": ["@daily"], "state": ["PENDING"], "id": ["x"], "job": [{}],
    }  # fmt: skip
    for field, values in wrong.items():
        for value in values:
            yield from job(field, **{field: value})
    yield from job("backoff.kind", backoff={"kind": "quadratic"})
    yield from job("backoff.base", backoff={"base": 1})
    yield from job("handler", "unknown handler", handler="nope", said=False)
    yield from job("payload.seconds", "misfit", handler="sleep", said=False)
    yield from job("payload.seconds", "misfit of type", handler="sleep", payload={"seconds": "1"}, said=False)
    yield from job("payload.x", "misfit unknown", handler="sleep", payload={"seconds": 1, "x": 1}, said=False)
    yield from job("payload", "70 kB", payload={"a": "x" * 70_000}, said=False)
    yield from job("payload", "1,001 keys", payload={str(n): n for n in range(1001)}, said=False)
    yield _bad("create", "job", {}, "job.handler")


def _texts() -> Iterator[BadSchedule]:
    def raw(name: str, text: bytes, field: str = "body", status: int = 422) -> BadSchedule:
        return BadSchedule(f"create: {name}", "create", text, field, status)

    start = b'{"name":"a","cron":"@daily","job":{"handler":"echo","payload":{"a":'
    for depth in (20, 21, 100, 1000, 100_000):
        text = start + b"[" * depth + b"1" + b"]" * depth + b"}}}"
        if len(text) < 250_000:
            yield raw(f"payload {depth} deep", text, "job.payload")
    yield raw("integer beyond 64 bits", start + b"18446744073709551616}}}", "job.payload.a")
    yield raw("doubled key", start + b'1,"a":2}}}', "job.payload.a")
    yield raw("doubled field", b'{"name":"a","cron":"@daily","cron":"@daily","job":{"handler":"echo"}}', "cron")
    yield raw("huge number", b'{"name":"a","interval_seconds":' + b"9" * 30 + b',"job":{}}', "interval_seconds")
    for name, text in {"empty": b"", "cut off": b'{"name":"a"', "NaN": b'{"max_runs":NaN}', "yaml": b"name: a"}.items():
        yield raw(f"not JSON: {name}", text, status=400)
    values: list[Any] = [None, True, 1, "x", [], [a_schedule()]]
    for value in values:
        yield raw(f"not an object: {value!r:.20}", orjson.dumps(value))
    yield raw("300 kB", orjson.dumps(a_schedule(job={"handler": "echo", "payload": {"a": "x" * 300_000}})), status=413)
    yield BadSchedule("change: not an object", "change", b"[]", "body")
    yield BadSchedule("preview: not an object", "preview", b"[]", "body")
    yield BadSchedule("backfill: not JSON", "backfill", b"from", "body", 400)


def _backfills() -> Iterator[BadSchedule]:
    for field in ("from", "to"):
        yield from (_bad("backfill", field, value) for value in (None, 0, True, *NOT_TIMES[:8]))
        yield from (_bad("backfill", field, text, said=False) for text in NOT_TIMES_OF_OURS)
    numbers: list[Any] = [0, -1, 101, 1.5, "1", None, True, []]
    yield from (_bad("backfill", "max_concurrent", value) for value in numbers)


TABLE = [
    *_wrong_types(), *_wrong_values(), *_wrong_numbers(), *_not_together(), *_unknown_fields(), *_jobs(), *_texts(),
    *_backfills(),
]  # fmt: skip
