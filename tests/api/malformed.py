"""Submissions that must be refused: what is sent, and the field that the answer must name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

JSON = "application/json"


@dataclass(frozen=True)
class Bad:
    """A body, and what is to be said about it."""

    name: str
    raw: bytes
    field: str
    status: int = 422
    content_type: str | None = JSON
    bulk: bool = False
    said: bool = False
    """whether a JSON schema can say it too"""


def _job(**fields: Any) -> dict[str, Any]:
    return {"handler": "echo", "payload": {}, **fields}


def _bad(field: str, value: Any, name: str | None = None, at: str | None = None, *, said: bool = True) -> Bad:
    raw = orjson.dumps(_job(**{field: value}))
    return Bad(f"{field}={name or repr(value)[:40]}", raw, at or field, said=said)


def _raw(name: str, raw: bytes, field: str = "body", status: int = 400) -> Bad:
    return Bad(name, raw, field, status)


def _wrong_types() -> Iterator[Bad]:
    wrong: dict[str, list[Any]] = {
        "handler": [None, 1, 1.5, True, [], {}, ["echo"]],
        "payload": [None, 1, True, "text", "{}", [], [{}]],
        "queue": [None, 0, False, [], {}],
        "priority": [None, 0, 1, True, [], {}],
        "run_at": [None, 0, 1767225600, 1767225600.5, True, [], {}],
        "delay_seconds": [None, "5", True, [], {}, "PT5S"],
        "max_retries": [None, "3", 1.5, 2.999999, True, [], {}],
        "backoff": [None, 1, "fixed", True, [], ["fixed"]],
        "timeout_seconds": [None, "30", True, [], {}],
        "idempotency_key": [None, 1, True, [], {}],
        "tags": [None, "blue", 1, True, {}, {"a": 1}],
        "expires_at": [None, 0, 1767225600, True, [], {}],
        "retry_for_seconds": [None, "60", True, [], {}],
    }
    return (_bad(field, value) for field, values in wrong.items() for value in values)


_NOT_NAMES = [
    "", " ", "A", "Echo", "-a", ".a", "_a", "a b", "a/b", "ä", "a" * 65, "a\n", "a\x00", "echo;", "' OR 1=1 --",
    "a:b",
]  # fmt: skip
_NOT_TIMES_OF_OURS = [
    "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "3000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59",
]  # fmt: skip
_NOT_TIMES = [
    "", "now", "tomorrow", "2026-01-31", "09:30:00Z", "2026-01-31 09:30:00Z", "2026-01-31T09:30Z",
    "2026-01-31T09:30:00", "2026-01-31T09:30:00+0200", "2026-01-31T09:30:00 Z", "2026-02-30T00:00:00Z",
    "2026-13-01T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T09:60:00Z", "2026-01-31T09:30:61Z",
    "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00.Z", "+2026-01-31T09:30:00Z", "10000-01-01T00:00:00Z",
    "1767225600", "２０26-01-31T09:30:00Z", "2026-W05-6T09:30:00Z",
]  # fmt: skip


def _wrong_values() -> Iterator[Bad]:
    yield from (_bad("handler", name) for name in _NOT_NAMES)
    yield from (_bad("handler", name, said=False) for name in ("nope", "os.system", "echoo", "http.get"))
    yield from (_bad("queue", name) for name in _NOT_NAMES)
    yield from (_bad("priority", name) for name in ("", "urgent", "NORMAL", "0", "normal "))
    yield from (_bad("run_at", text) for text in _NOT_TIMES)
    yield from (_bad("run_at", text, said=False) for text in _NOT_TIMES_OF_OURS)
    yield from (_bad("expires_at", text) for text in _NOT_TIMES[:10])
    yield from (_bad("delay_seconds", value) for value in (-1, -0.001, 315_360_001, 1e300))
    yield from (_bad("max_retries", value) for value in (-1, 101, 2**31, 2**62))
    yield from (_bad("timeout_seconds", value) for value in (0, -1, 0.0001, 604_801, 1e300))
    yield from (_bad("retry_for_seconds", value) for value in (-1, 315_360_001))
    yield from (_bad("idempotency_key", key) for key in ("", "x" * 256, "a\x00b", "a\nb", "\x7f"))
    yield _bad("idempotency_key", "ä" * 128, "256 bytes", said=False)
    yield _bad("tags", ["a"] * 2, "doubled")
    yield _bad("tags", [f"t{n}" for n in range(21)], "21 of them")
    tags: list[Any] = [None, 1, "", "A", "a b", "x" * 65, [], {}]
    for tag in tags:
        yield _bad("tags", ["fine", tag], f"[fine, {tag!r:.12}]", "tags.1")


def _wrong_backoffs() -> Iterator[Bad]:
    wrong: dict[str, list[Any]] = {
        "kind": [None, 1, "", "Fixed", "quadratic"],
        "base_seconds": [None, "1", True, -1, 31_536_001],
        "factor": [None, "2", 0, 0.5, 1001],
        "max_seconds": [None, "60", -1, 1e12],
        "jitter": [None, "0.1", True, -0.1, 1.1],
        "base": [1],
    }
    for part, values in wrong.items():
        for value in values:
            yield _bad("backoff", {part: value}, f"{part}:{value!r}", f"backoff.{part}")


def _excluding() -> Iterator[Bad]:
    at = "2030-01-01T00:00:00Z"
    yield Bad("both times", orjson.dumps(_job(run_at=at, delay_seconds=1)), "delay_seconds", said=True)
    yield Bad("expires before", orjson.dumps(_job(run_at=at, expires_at="2029-01-01T00:00:00Z")), "expires_at")


def _unknown_fields() -> Iterator[Bad]:
    columns = [
        "id", "namespace", "state", "token", "version", "attempt", "failures", "losses", "round", "wake_at",
        "worker_id", "created_at", "started_at", "finished_at", "result", "error", "progress", "schedule_id",
        "fire_time", "cancel_requested", "timeout_us", "delay", "timeout", "retries", "cron", "__class__", "payload ",
        "Handler", "on_error", "callback_url", "unique", "priority_name",
    ]  # fmt: skip
    return (_bad(name, 1, "unknown", name) for name in columns)


def _payloads() -> Iterator[Bad]:
    yield _bad("payload", {"a": "x" * 70_000}, "70 kB", said=False)
    yield _bad("payload", {str(n): n for n in range(1001)}, "1,001 keys", said=False)
    yield _bad("payload", {"a": [{"x": n} for n in range(1000)]}, "1,001 keys in all", said=False)
    for depth in (20, 100, 300, 1000, 1030, 20_000, 100_000):
        for opening, closing in ((b'{"a":', b"}"), (b"[", b"]")):
            if depth * len(opening + closing) < 250_000:
                raw = b'{"handler":"echo","payload":{"a":' + opening * depth + b"1" + closing * depth + b"}}"
                yield _raw(f"payload {depth} deep in {opening.decode()}", raw, "payload", 422)
    yield _raw("unclosed and deep", b'{"handler":"echo","payload":{"a":' + b"[" * 100_000, "payload", 422)
    for number in (b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1" * 200):
        raw = b'{"handler":"echo","payload":{"deep":[0,{"n":' + number + b"}]}}"
        yield _raw(f"integer {number.decode():.24}", raw, "payload.deep.1.n", 422)
    yield _raw("integer in a setting", b'{"handler":"echo","max_retries":' + b"9" * 30 + b"}", "max_retries", 422)
    yield _raw("doubled in the payload", b'{"handler":"echo","payload":{"a":{"b":1,"b":1}}}', "payload.a.b", 422)
    yield _raw("doubled at the top", b'{"handler":"echo","queue":"a","queue":"b"}', "queue", 422)
    yield _raw("doubled in disguise", b'{"handler":"echo","h\\u0061ndler":"noop"}', "handler", 422)


def _misfits() -> Iterator[Bad]:
    fits: list[tuple[str, Any, str]] = [
        ("sleep", {}, "payload.seconds"),
        ("sleep", {"seconds": "1"}, "payload.seconds"),
        ("sleep", {"seconds": None}, "payload.seconds"),
        ("sleep", {"seconds": -1}, "payload.seconds"),
        ("sleep", {"seconds": 1, "extra": 1}, "payload.extra"),
        ("fail", {}, "payload.times"),
        ("fail", {"times": -1}, "payload.times"),
        ("fail", {"times": 1.5}, "payload.times"),
        ("http", {}, "payload.url"),
        ("http", {"url": 5}, "payload.url"),
        ("http", {"url": "https://example.org", "method": 1}, "payload.method"),
        ("http", {"url": "https://example.org", "verify": False}, "payload.verify"),
    ]
    for handler, payload, field in fits:
        yield Bad(f"{handler} {payload}", orjson.dumps({"handler": handler, "payload": payload}), field)


def _not_json() -> Iterator[Bad]:
    texts = {
        "empty": b"", "blank": b" \n\t ", "nothing useful": b"\x00", "form": b"handler=echo",
        "cut off": b'{"handler":"echo"', "comma": b'{"handler":"echo",}', "single quotes": b"{'handler':'echo'}",
        "no quotes": b"{handler:echo}", "comment": b'{"handler":"echo"} // why',
        "two": b'{"handler":"echo"}{"handler":"echo"}', "bom": b"\xef\xbb\xbf{}",
        "latin-1": '{"handler":"echo","payload":{"a":"ä"}}'.encode("latin-1"),
        "utf-16": '{"handler":"echo"}'.encode("utf-16"), "bad utf-8": b'{"handler":"\xff\xfe"}',
        "surrogate": b'{"handler":"echo","payload":{"a":"\\ud800"}}', "raw surrogate": b'{"handler":"\xed\xa0\x80"}',
        "control": b'{"handler":"ec\nho"}', "NaN": b'{"handler":"echo","payload":{"n":NaN}}',
        "Infinity": b'{"handler":"echo","delay_seconds":Infinity}',
        "-Infinity": b'{"handler":"echo","payload":{"n":-Infinity}}',
        "1e999": b'{"handler":"echo","payload":{"n":1e999}}',
        "a number with a zero in front": b'{"handler":"echo","max_retries":03}',
        "hex": b'{"handler":"echo","max_retries":0x3}', "plus": b'{"handler":"echo","max_retries":+3}',
        "dot": b'{"handler":"echo","delay_seconds":.5}', "None": b'{"handler":"echo","payload":None}',
        "xml": b"<job/>", "brackets": b"]", "huge integer": b"1" * 5000,
    }  # fmt: skip
    yield from (_raw(f"not JSON: {name}", raw) for name, raw in texts.items())
    for value in (None, True, 1, 1.5, "echo", [], [{"handler": "echo"}]):
        yield _raw(f"not an object: {value!r}", orjson.dumps(value), "body", 422)
    yield Bad("nothing in it", b"{}", "handler")
    yield _raw("deep array", b"[" * 100_000, "body", 422)
    yield _raw("deep setting", b'{"handler":"echo","tags":' + b"[" * 500 + b"]" * 500 + b"}", "tags", 422)
    yield _raw("300 kB", orjson.dumps(_job(payload={"a": "x" * 300_000})), "body", 413)


def _media() -> Iterator[Bad]:
    right = orjson.dumps(_job())
    types = [
        None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
        "application/json; charset=latin-1", "application/json; charset=utf-16", "application/jsonp", "text/json",
        "json", "application/octet-stream", "application/merge-patch+json",
    ]  # fmt: skip
    return (Bad(f"content type {kind}", right, "Content-Type", 415, kind) for kind in types)


def _bulks() -> Iterator[Bad]:
    def bulk(name: str, value: Any, field: str, status: int = 422) -> Bad:
        raw = value if isinstance(value, bytes) else orjson.dumps(value)
        return Bad(f"bulk: {name}", raw, field, status, bulk=True)

    yield bulk("empty list", {"jobs": []}, "jobs")
    yield bulk("no list", {}, "jobs")
    yield bulk("null", {"jobs": None}, "jobs")
    yield bulk("an object", {"jobs": {"0": _job()}}, "jobs")
    yield bulk("a bare list", [_job()], "body")
    yield bulk("more fields", {"jobs": [_job()], "atomic": False}, "atomic")
    yield bulk("not JSON", b'{"jobs":[', "body", 400)
    for index in (0, 1, 49, 50, 99, 250):
        many = [_job(payload={"n": n}) for n in range(251)]
        wrong: list[tuple[Any, str]] = [
            (None, ""), ("echo", ""), ([], ""), ({}, ".handler"), (_job(queue="A"), ".queue"), (_job(id=1), ".id"),
            (_job(handler="nope"), ".handler"), (_job(payload={"a": "x" * 70_000}), ".payload"),
            (_job(run_at="x"), ".run_at"),
        ]  # fmt: skip
        for value, field in wrong:
            yield bulk(
                f"{value!s:.30} at {index}",
                {"jobs": [*many[:index], value, *many[index + 1 :]]},
                f"jobs.{index}{field}",
            )
    right = orjson.dumps(_job())
    deep = b'{"handler":"echo","payload":{"a":' + b"[" * 400 + b"]" * 400 + b"}}"
    doubled = b'{"handler":"echo","queue":"a","queue":"b"}'
    wide = b'{"handler":"echo","payload":{"a":18446744073709551616}}'
    for name, item, field in (("deep", deep, ".payload"), ("doubled", doubled, ".queue"), ("wide", wide, ".payload.a")):
        yield bulk(name, b'{"jobs":[' + right + b"," + item + b"]}", f"jobs.1{field}")
    yield bulk("jobs twice", b'{"jobs":[' + right + b'],"jobs":[' + right + b"]}", "jobs")


TABLE = [
    *_wrong_types(), *_wrong_values(), *_wrong_backoffs(), *_excluding(), *_unknown_fields(), *_payloads(), *_misfits(),
    *_not_json(), *_media(), *_bulks(),
]  # fmt: skip
