"""What HTTP jobs send, and what they keep of hostile answers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.errors import InvalidInput
from horae.handlers.builtin.answer import BODY_LIMIT, UnexpectedStatus, present_body
from horae.handlers.builtin.request import check_headers
from horae.handlers.context import JobContext
from horae.handlers.loader import load
from horae.handlers.schemas import PayloadSchema
from tests.handlers.calls import Call, calling
from tests.handlers.contexts import FIRE_TIME, context
from tests.handlers.servers import Answer, Listener, fixed, listening, ok

RESULT_LIMIT = 256 * 1024
MEMORY_LIMIT = 20 * 1024 * 1024


@asynccontextmanager
async def exchanging(answer: Answer | bytes, ctx: JobContext | None = None) -> AsyncIterator[tuple[Call, Listener]]:
    """A call that goes to a server which answers so."""
    async with (
        listening(fixed(answer) if isinstance(answer, bytes) else answer) as listener,
        calling("127.0.0.1", ctx=ctx) as call,
    ):

        async def to_listener(**payload: object) -> dict[str, object]:
            return await call(**{"url": f"http://127.0.0.1:{listener.port}/path?q=1", **payload})

        yield to_listener, listener


def head_of(request: bytes) -> dict[str, str]:
    """The header lines of a request, names in lower case; the first line under the empty name."""
    first, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), "a header was sent twice"
    return {"": first, **{name.lower(): value for name, value in pairs}}


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails if more than 20 MB are taken at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------- the request


async def test_a_plain_get() -> None:
    async with exchanging(ok(b"hello", "X-Answer: 42")) as (call, listener):
        answer = await call()
    assert answer == {"status": 200, "headers": {"content-length": "5", "x-answer": "42"}, "body": "hello"}
    head = head_of(listener.requests[0])
    assert head.pop("user-agent").startswith("Horae/")
    assert head == {
        "": "GET /path?q=1 HTTP/1.1",
        "host": f"127.0.0.1:{listener.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "idempotency-key": "01926f2e-0000-7000-8000-000000000001",
        "x-horae-job-id": "01926f2e-0000-7000-8000-000000000001",
        "x-horae-attempt": "2",
        "x-horae-token": "7",
    }


async def test_a_scheduled_job_tells_its_fire_time() -> None:
    async with exchanging(ok(), context(schedule_id="s", fire_time=FIRE_TIME)) as (call, listener):
        await call()
    head = head_of(listener.requests[0])
    assert head["x-horae-fire-time"] == "2026-03-29T01:30:00Z"
    assert head["idempotency-key"] == "01926f2e-0000-7000-8000-000000000001:2026-03-29T01:30:00Z"


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ("grüße", "grüße".encode(), "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'.encode(), "application/json"),
        ([1, None, 1.5], b"[1,null,1.5]", "application/json"),
        ({}, b"{}", "application/json"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_bodies(method: str, body: object, sent: bytes, content_type: str) -> None:
    async with exchanging(ok()) as (call, listener):
        await call(method=method, body=body)
    head, _, content = listener.requests[0].partition(b"\r\n\r\n")
    assert content == sent
    assert head_of(head)["content-type"] == content_type
    assert head_of(head)["content-length"] == str(len(sent))
    assert head_of(head)[""].startswith(f"{method} ")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_no_body_has_no_content_type(method: str) -> None:
    async with exchanging(ok(b"")) as (call, listener):
        await call(method=method, body=None)
    assert "content-type" not in head_of(listener.requests[0])


async def test_own_headers_win_over_defaults() -> None:
    headers = {"user-agent": "mine", "CONTENT-TYPE": "text/csv", "Authorization": "Bearer x", "Cookie": "a=1"}
    async with exchanging(ok()) as (call, listener):
        await call(method="POST", body="a;b", headers=headers)
    head = head_of(listener.requests[0])
    assert [head[name] for name in ("user-agent", "content-type", "authorization", "cookie")] == list(headers.values())


DENIED = [
    "Host",
    "host",
    "CONTENT-LENGTH",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Idempotency-Key",
    "X-Horae-Token",
    "x-horae-anything",
    "",
    "a b",
    "a:b",
    "a\r\nb",
    "a\n",
    "ü",
    "a\x00",
]


@pytest.mark.parametrize("name", DENIED)
def test_headers_that_a_job_may_not_set(name: str) -> None:
    http = load([]).get("http")
    assert http is not None
    with pytest.raises(InvalidInput) as caught:
        http.validate({"url": "http://a.example/", "headers": {name: "x"}})
    assert [each.field for each in caught.value.errors] == [f"payload.headers.{name}"]


NAMES = st.one_of(st.text(max_size=12), st.sampled_from(DENIED), st.from_regex(r"\A[A-Za-z-]{1,12}\Z"))
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_accepted_headers_stay_within_their_lines(headers: dict[str, str]) -> None:
    try:
        check_headers(headers)
    except ValueError:
        return
    for name, value in headers.items():
        assert re.fullmatch(r"[!-9;-~]+", name)
        assert not set(value) & {"\r", "\n", "\0"}
        assert name.lower() not in ("host", "content-length", "transfer-encoding", "connection", "idempotency-key")
        assert not name.lower().startswith("x-horae-")


HTTP_SCHEMA = PayloadSchema({info.name: info for info in load([]).infos()}["http"].schema)


@given(st.dictionaries(NAMES.map(lambda name: name.encode("utf-8", "replace").decode()), VALUES, max_size=3))
def test_submit_and_run_agree_on_headers(headers: dict[str, str]) -> None:
    accepted = HTTP_SCHEMA.errors({"url": "http://a.example/", "headers": headers}) == []
    with nullcontext() if accepted else pytest.raises(ValueError, match=r"header that a job may set|line breaks"):
        assert check_headers(headers) == headers


@pytest.mark.parametrize("value", ["a\tb", "ü€", " padded ", "x" * 4000, "a: b", "\x80\x9f"])
async def test_odd_values_arrive_as_one_line(value: str) -> None:
    async with exchanging(ok()) as (call, listener):
        await call(headers={"X-Odd": value, "X-After": "1"})
    head = head_of(listener.requests[0])
    assert head["x-odd"].strip() == value.strip()
    assert head["x-after"] == "1"


# -------------------------------------------------------------------------------------------------------- the answer


@pytest.mark.parametrize(
    ("status", "expect", "succeeds"),
    [
        ("200 OK", None, True),
        ("204 No Content", None, True),
        ("299 Odd", None, True),
        ("300 Choices", None, False),
        ("404 Not Found", None, False),
        ("404 Not Found", [404], True),
        ("200 OK", [404], False),
        ("503 Busy", [200, 503], True),
        ("503 Busy", None, False),
    ],
)
async def test_expected_statuses(status: str, expect: list[int] | None, succeeds: bool) -> None:
    payload = {} if expect is None else {"expect": expect}
    async with exchanging(ok(b"" if status[0:3] == "204" else b"why", status=status)) as (call, _):
        if succeeds:
            assert (await call(**payload))["status"] == int(status[:3])
        else:
            with pytest.raises(UnexpectedStatus, match=f"^the target answered {status}: why$"):
                await call(**payload)


async def test_repeated_headers_are_joined() -> None:
    async with exchanging(ok(b"", "Set-Cookie: a=1", "set-cookie: b=2")) as (call, _):
        assert (await call())["headers"]["set-cookie"] == "a=1, b=2"


@pytest.mark.parametrize(
    ("body", "charset", "expected"),
    [
        ("grüße".encode(), "utf-8", "grüße"),
        ("grüße".encode("latin-1"), "ISO-8859-1", "grüße"),
        ("grüße€".encode("cp1252"), "windows-1252", "grüße€"),
        ("grüße".encode("utf-16"), "utf-16", "grüße"),
        ("grüße".encode(), "no-such-charset", "grüße"),
        ("grüße".encode(), "zlib_codec", "grüße"),
        ("grüße".encode(), "punycode", "grüße"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
    ],
)
async def test_text_by_its_charset(body: bytes, charset: str, expected: str) -> None:
    async with exchanging(ok(body, f"Content-Type: text/plain; charset={charset}")) as (call, _):
        assert (await call())["body"] == expected


@pytest.mark.parametrize("body", [b"\xff\xfe\x00\x01", b"a\x00b", b"\x89PNG\r\n\x1a\n", bytes(range(256))])
async def test_what_isn_t_text_is_base64(body: bytes) -> None:
    async with exchanging(ok(body)) as (call, _):
        answer = await call()
    assert answer["body_encoding"] == "base64"
    assert base64.b64decode(answer["body"]) == body


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "deflate"])
async def test_compressed_answers(coding: str) -> None:
    body = zlib.compress(b"hello") if coding == "deflate" else gzip.compress(b"hello")
    async with exchanging(ok(body, f"Content-Encoding: {coding}")) as (call, _):
        assert (await call())["body"] == "hello"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, gzip", "nonsense"])
async def test_what_can_t_be_decompressed_is_kept_as_it_came(coding: str) -> None:
    async with exchanging(ok(b"\xf1not gzip", f"Content-Encoding: {coding}")) as (call, _):
        assert base64.b64decode((await call())["body"]) == b"\xf1not gzip"


@pytest.mark.parametrize("size", [BODY_LIMIT - 1, BODY_LIMIT, BODY_LIMIT + 1])
async def test_the_bound_of_the_body(size: int) -> None:
    async with exchanging(ok(b"x" * size)) as (call, _):
        answer = await call()
    assert len(answer["body"]) == min(size, BODY_LIMIT)
    assert answer.get("body_truncated", False) is (size > BODY_LIMIT)


async def test_a_character_cut_in_half_is_left_out() -> None:
    async with exchanging(ok(b"x" + "ü".encode() * BODY_LIMIT)) as (call, _):
        answer = await call()
    assert answer["body"] == "x" + "ü" * ((BODY_LIMIT - 1) // 2)
    assert answer["body_truncated"] is True


async def test_an_endless_body_is_cut() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()

    with little_memory():
        async with exchanging(endless) as (call, _):
            answer = await call()
    assert len(answer["body"]) == BODY_LIMIT
    assert answer["body_truncated"] is True


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_decompression_bomb_doesn_t_go_off(coding: str) -> None:
    expander = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    bomb = b"".join(expander.compress(b"\x41" * 1_000_000) for _ in range(100)) + expander.flush()
    async with exchanging(ok(bomb, f"Content-Encoding: {coding}")) as (call, _):
        with little_memory():
            answer = await call()
    assert answer["body"] == "A" * BODY_LIMIT
    assert answer["body_truncated"] is True


@pytest.mark.parametrize(
    "headers",
    [
        [f"X-{n}: 1" for n in range(10_000)],
        ["X-Huge: " + "x" * 100_000],
        ["X" * 100_000 + ": 1"],
    ],
)
async def test_too_many_or_too_long_headers_fail_the_attempt(headers: list[str]) -> None:
    async with exchanging(ok(b"", *headers)) as (call, _):
        with little_memory(), pytest.raises(aiohttp.ClientError):
            await call()


async def test_many_headers_are_cut() -> None:
    async with exchanging(ok(b"", *(f"X-{n}: {'x' * 1000}" for n in range(100)))) as (call, _):
        answer = await call()
    assert 10 < len(answer["headers"]) < 20


async def test_header_bytes_that_aren_t_utf_8_can_be_stored() -> None:
    async with exchanging(b"HTTP/1.1 200 OK\r\nX-Odd: a\xffb\r\nContent-Length: 0\r\n\r\n") as (call, _):
        assert json.loads(orjson.dumps(await call()))["headers"]["x-odd"] == "a\ufffdb"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200\x00 OK\r\n\r\n",
        b"\xff" * 100_000,
    ],
)
async def test_broken_answers_fail_the_attempt(answer: bytes) -> None:
    async with exchanging(answer) as (call, _):
        with pytest.raises(aiohttp.ClientError):
            await call()


async def test_a_body_that_ends_early_fails_the_attempt() -> None:
    async def early(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        writer.close()

    async with exchanging(early) as (call, _):
        with pytest.raises(aiohttp.ClientPayloadError):
            await call()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_a_server_that_dawdles_is_left_when_the_job_is_cancelled(start: bytes) -> None:
    gone = asyncio.Event()

    async def dawdle(writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(start)
            while not writer.transport.is_closing():
                writer.write(b"x" if start else b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    async with exchanging(dawdle) as (call, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await call()
        async with asyncio.timeout(5):
            await gone.wait()


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))),
    st.booleans(),
    st.sampled_from(
        [None, "utf-8", "latin-1", "cp1252", "utf-16", "utf-16-be", "shift_jis", "idna", "rot13", "\ud800"]
    ),
)
def test_every_body_can_be_stored(raw: bytes, more: bool, charset: str | None) -> None:
    assert len(orjson.dumps(present_body(raw, more, charset))) <= 6 * len(raw) + 100


@pytest.mark.parametrize(
    ("unit", "charset"),
    [
        (b"\x00", None),
        (b"\n", None),
        (b'"', None),
        ("€".encode(), None),
        (b"\x80", "cp1252"),
        (b"\xff", None),
        (b"\x7f", None),
    ],
)
def test_the_worst_bodies_fit_into_a_result(unit: bytes, charset: str | None) -> None:
    raw = (unit * BODY_LIMIT)[:BODY_LIMIT]
    assert len(orjson.dumps(present_body(raw, more=True, charset=charset))) < RESULT_LIMIT - 2 * 16 * 1024


async def test_connections_are_shared_and_closed() -> None:
    async with exchanging(ok()) as (call, listener):
        for _ in range(3):
            await call()
        assert listener.connections == 1
