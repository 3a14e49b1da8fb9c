"""HTTP itself: ids, headers, methods, sizes, media, slowness, and what isn't HTTP at all."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import structlog
from aiohttp import ClientSession

from horae.api import body, connections
from horae.api.body import BODY_BYTES
from horae.api.context import ApiDeps
from horae.api.service import Api
from horae.domain.errors import SettingsError
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, answer_of, fields_of, get, problem_of, send, submit
from tests.support.waiting import eventually

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def stores(sqlite_stores: Stores) -> Stores:
    """What is tested here is the same over any database."""
    return sqlite_stores


@asynccontextmanager
async def serving(deps: ApiDeps, **options: Any) -> AsyncIterator[Api]:
    """The api on a port of its own."""
    api = Api(deps, "127.0.0.1", 0, **options)
    await api.start()
    try:
        yield api
    finally:
        await api.stop()


async def exchange(api: Api, raw: bytes) -> bytes:
    """Sends these very bytes and reads until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(raw)
    await writer.drain()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


# ------------------------------------------------------------------------------------------------------------ headers


@pytest.mark.parametrize("given", ["abc", "a1b2-c3_d4.e5=", "x" * 128])
async def test_a_sane_request_id_is_kept(client: Client, given: str) -> None:
    response = await client.get(JOBS, headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", " ", "-a", "x" * 129, "a b", 'a"b', "<script>", "ä"])
async def test_any_other_request_id_is_replaced(client: Client, given: str) -> None:
    response = await client.get(f"{JOBS}/7", headers={"X-Request-Id": given})
    made = response.headers["X-Request-Id"]
    assert made != given
    assert (await response.json())["instance"] == made


async def test_every_answer_carries_the_same_care(client: Client) -> None:
    for path in (JOBS, f"{JOBS}/7", "/nowhere", "/docs", "/openapi.json", "/healthz", "/metrics"):
        response = await client.get(path)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] in ("no-store", "no-cache")
        assert response.headers["Server"] == "horae"
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_wrong_method_is_told_the_right_ones(client: Client) -> None:
    response = await client.put(JOBS)
    assert problem_of(await answer_of(response, 405)) == "method-not-allowed"
    assert response.headers["Allow"] == "GET,HEAD,POST"


@pytest.mark.parametrize("name", ["bulk", "actions"])
async def test_a_fixed_address_is_no_job(client: Client, name: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        response = await client.request(method, f"{JOBS}/{name}")
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_what_can_be_read_can_be_asked_for_by_head(client: Client) -> None:
    job = await submit(client)
    response = await client.head(f"{JOBS}/{job['id']}")
    assert (response.status, await response.read(), response.headers["ETag"]) == (200, b"", '"0"')


async def test_an_unknown_address_is_a_problem(client: Client) -> None:
    assert problem_of(await get(client, "/api/v2/jobs", 404)) == "not-found"


# -------------------------------------------------------------------------------------------------------------- bodies


async def test_a_body_up_to_the_limit_is_read_and_no_more(client: Client) -> None:
    raw = orjson.dumps({"handler": "echo"})
    assert (await send(client, JOBS, raw + b" " * (BODY_BYTES - len(raw)))).status == 201
    problem = await answer_of(await send(client, JOBS, raw + b" " * (BODY_BYTES - len(raw) + 1)), 413)
    assert set(fields_of(problem)) == {"body"}


async def test_an_endless_chunked_body_is_cut_at_the_limit(deps: ApiDeps) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async with serving(deps) as api, ClientSession() as session, asyncio.timeout(10):
        response = await session.post(f"{api.url}{JOBS}", data=endless(), headers=JSON)
        assert response.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_compressed_bodies_are_refused_unread(deps: ApiDeps, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    async with serving(deps) as api, ClientSession() as session:
        headers = {**JSON, "Content-Encoding": encoding}
        async with session.post(f"{api.url}{JOBS}", data=bomb, headers=headers) as response:
            assert response.status == 415
            assert set(fields_of(await response.json())) == {"Content-Encoding"}


async def test_a_slow_body_is_not_waited_for(deps: ApiDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READ_SECONDS", 0.1)
    monkeypatch.setitem(connections.LIMITS, "lingering_time", 0.1)
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    async with serving(deps) as api:
        answer = await exchange(api, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:horae:problem:too-slow" in answer


async def test_a_slow_head_is_not_waited_for(deps: ApiDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.LIMITS, "keepalive_timeout", 0.1)
    async with serving(deps) as api:
        assert await exchange(api, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""


async def test_a_client_that_leaves_in_mid_body_leaves_nothing_behind(deps: ApiDeps, client: Client) -> None:
    async with serving(deps) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await get(client, JOBS))["items"] == []


# ------------------------------------------------------------------------------------------------------------ not HTTP


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"HELO example.org\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /\xff\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_problem_and_the_door(deps: ApiDeps, raw: bytes) -> None:
    async with serving(deps) as api:
        answer = await exchange(api, raw)
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert b"application/problem+json" in head
        assert problem_of(orjson.loads(content)) == "malformed-request"


async def test_a_broken_chunk_is_refused(deps: ApiDeps) -> None:
    head = (
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with serving(deps) as api:
        assert b" 400 " in (await exchange(api, head + b"zz\r\n{}\r\n0\r\n\r\n")).splitlines()[0]


# -------------------------------------------------------------------------------------------------------------- faults


async def test_a_fault_of_ours_tells_the_client_nothing_but_its_id(
    client: Client, deps: ApiDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret of line 42")

    monkeypatch.setattr(deps.jobs, "page", broken)
    with structlog.testing.capture_logs() as logs:
        response = await client.get(JOBS)
        problem = await answer_of(response, 500)
    assert problem_of(problem) == "internal"
    assert "secret" not in str(problem)
    failed = next(line for line in logs if line["event"] == "api.failed")
    assert str(failed["exc_info"]) == "secret of line 42"


async def test_while_something_is_missing_a_fault_is_no_fault_of_the_code(
    client: Client, deps: ApiDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_such_table(*_: object) -> None:
        raise RuntimeError("secret: table jobs doesn't exist")

    monkeypatch.setattr(deps.jobs, "page", no_such_table)
    deps.readiness.require("schema", lambda: "secret: behind")
    response = await client.get(JOBS)
    problem = await answer_of(response, 503)
    assert (problem_of(problem), response.headers["Retry-After"]) == ("not-ready", "1")
    assert "secret" not in str(problem)


@pytest.mark.parametrize(("path", "level"), [(JOBS, "debug"), (f"{JOBS}/7", "info")])
async def test_each_request_is_a_line_in_the_log(client: Client, path: str, level: str) -> None:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        await client.get(f"{path}?", headers={"X-Request-Id": "r-1"})
    line = next(line for line in logs if line["event"] == "api.request")
    assert (line["log_level"], line["request_id"], line["method"], line["path"]) == (level, "r-1", "GET", path)
    assert set(line) >= {"status", "ms", "remote"}


async def test_a_probe_of_an_unready_process_is_no_error_in_the_log(client: Client, deps: ApiDeps) -> None:
    deps.readiness.require("schema", lambda: "behind")
    with structlog.testing.capture_logs() as logs:
        assert (await client.get("/readyz")).status == 503
    assert [line["log_level"] for line in logs if line["event"] == "api.request"] == ["debug"]


# ------------------------------------------------------------------------------------------------------------- service


async def test_it_listens_and_stops(deps: ApiDeps) -> None:
    async with serving(deps) as api, ClientSession() as session:
        async with session.get(f"{api.url}/healthz") as response:
            assert await response.json() == {"alive": True}
        port = api.port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_is_told_in_one_line(deps: ApiDeps) -> None:
    async with serving(deps) as api:
        other = Api(deps, "127.0.0.1", api.port)
        with pytest.raises(SettingsError, match=rf"^HORAE_PORT={api.port} is taken") as refusal:
            await other.start()
        assert "\n" not in str(refusal.value)
        await other.stop()


async def test_a_host_that_is_not_ours_is_told_in_one_line(deps: ApiDeps) -> None:
    with pytest.raises(SettingsError, match=r"^HORAE_HOST=192\.0\.2\.1"):
        await Api(deps, "192.0.2.1", 0).start()


async def test_a_stop_finishes_what_is_under_way(deps: ApiDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    page: Callable[..., Any] = deps.jobs.page

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await page(*arguments)

    monkeypatch.setattr(deps.jobs, "page", slow)
    api = Api(deps, "127.0.0.1", 0)
    await api.start()
    async with ClientSession() as session:
        request = asyncio.create_task(session.get(f"{api.url}{JOBS}"))
        await begun.wait()
        stop = asyncio.create_task(api.stop())
        await eventually(lambda: api._listener is not None and not api._listener.is_serving())
        assert not stop.done()
        go_on.set()
        async with asyncio.timeout(5):
            assert (await request).status == 200
            await stop


async def test_a_stop_does_not_wait_for_those_who_wait(deps: ApiDeps, client: Client) -> None:
    job = await submit(client)
    api = Api(deps, "127.0.0.1", 0)
    await api.start()
    async with ClientSession() as session, asyncio.timeout(5):
        request = asyncio.create_task(session.get(f"{api.url}{JOBS}/{job['id']}?wait=60"))
        await eventually(lambda: bool(deps.signals._watchers))  # type: ignore[attr-defined]
        await api.stop()
        assert (await request).status == 200


async def test_one_connection_too_many_is_told_so(deps: ApiDeps) -> None:
    async with serving(deps, connections=2) as api:
        held = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(2)]
        answer = await exchange(api, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"urn:horae:problem:overloaded" in answer
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: not api._runner.server.connections)  # type: ignore[union-attr]
        close = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await exchange(api, close)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", ["docs.js", "docs.css"])
async def test_the_page_of_the_document_needs_nothing_from_elsewhere(client: Client, name: str) -> None:
    page = await client.get("/docs")
    assert page.content_type == "text/html"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = await page.text()
    assert f'"/docs/{name}"' in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert (await client.get(f"/docs/{name}")).status == 200
    assert (await client.get("/docs/__init__.py")).status == 404


def test_aiohttps_own_log_of_errors_is_not_needed() -> None:
    assert connections.LIMITS["access_log"] is None
    assert logging.getLogger("aiohttp.access").handlers == []
