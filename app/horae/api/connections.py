"""Connections as this api takes them: bounded in number, in time and in the size of their heads."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import orjson
import structlog
from aiohttp import web

from horae.api.middleware import HEADER, request_id
from horae.api.problems import (
    INTERNAL,
    MALFORMED,
    MEDIA_TYPE,
    OVERLOADED,
    RETRY_AFTER_SECONDS,
    Problem,
    problem_body,
    problem_response,
)

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 10_000
KEEPALIVE_SECONDS = 75.0
"""for an idle connection, and for the head of a request to arrive as a whole"""
LINGER_SECONDS = 2.0
"""for a body that was refused to be read away, so that the client gets to read the answer"""
HEAD_BYTES = 8 * 1024
"""of the request line, and of each header"""
_LONGEST_DETAIL = 200

LIMITS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": KEEPALIVE_SECONDS,
    "lingering_time": LINGER_SECONDS,
    "max_line_size": HEAD_BYTES,
    "max_field_size": HEAD_BYTES,
    "max_headers": 100,
}


def most_connections() -> int:
    """As many as leave the process files to work with."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files * 3 // 4)


class Connection(web.RequestHandler):
    """A client's connection. What isn't HTTP is answered by a problem too."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that never reached a route."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        identity = request_id(None)
        if status >= 500:
            log.error("api.failed", exc_info=exc, request_id=identity)
        else:
            log.info("api.not_http", remote=request.remote, error=type(exc).__name__, request_id=identity)
        detail = (message or "")[:_LONGEST_DETAIL]
        response = problem_response(Problem(MALFORMED if status < 500 else INTERNAL, detail), identity)
        response.headers[HEADER] = identity
        response.force_close()
        return response


class _Overloaded(asyncio.Protocol):
    """A connection that is one too many: told so before it asks, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says it and goes."""
        log.warning("api.overloaded")
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP servers hand over
        transport.write(_overloaded_answer(request_id(None)))
        transport.close()


def _overloaded_answer(identity: str) -> bytes:
    body = orjson.dumps(problem_body(Problem(OVERLOADED, "Try again later."), identity))
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {RETRY_AFTER_SECONDS}\r\n{HEADER}: {identity}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class Connections:
    """Makes a protocol for each new connection of a server, up to `most` at a time."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one more."""
        if len(self._server.connections) >= self._most:
            return _Overloaded()
        return Connection(self._server, loop=self._loop, **LIMITS)
