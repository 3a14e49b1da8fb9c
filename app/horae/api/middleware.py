"""Around every request: its id, its line in the log, and the answer to whatever goes wrong."""

from __future__ import annotations

import logging
import re
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from horae.api.context import CONTEXT, REQUEST_ID
from horae.api.problems import not_ready, problem_of, problem_response
from horae.runtime.health import Readiness

log = structlog.get_logger(__name__)

HEADER = "X-Request-Id"
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,127}")


def request_id(given: str | None) -> str:
    """The id that the client gave, if it is fit for logs and headers, or a new one."""
    return given if given is not None and _SANE.fullmatch(given) else uuid4().hex


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Calls the route and answers for it. aiohttp hands over `handler` by that name."""
    identity = request[REQUEST_ID] = request_id(request.headers.get(HEADER))
    structlog.contextvars.bind_contextvars(request_id=identity)
    clock = request.app[CONTEXT].deps.clock
    started = clock.monotonic()
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the rest
        response = _answer_to(error, identity, request.app[CONTEXT].deps.readiness)
    if not response.prepared:
        _add_headers(response, identity)
    _log(request, response, clock.monotonic() - started)
    return response


def _answer_to(error: Exception, identity: str, readiness: Readiness) -> web.Response:
    problem = problem_of(error)
    if problem.kind.status == 500:
        log.error("api.failed", exc_info=error)
        problem = not_ready() if readiness.missing() else problem
    elif problem.kind.status >= 500:
        log.warning("api.unavailable", error=str(error))
    return problem_response(problem, identity)


def _add_headers(response: web.StreamResponse, identity: str) -> None:
    headers = response.headers
    headers[HEADER] = identity
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Server"] = "horae"
    headers.setdefault("Cache-Control", "no-store")


def _log(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    # The path without its query: what users search for is no business of the log's.
    log.log(
        _level(request.path, response.status),
        "api.request",
        method=request.method,
        path=request.path,
        status=response.status,
        ms=round(seconds * 1000, 1),
        remote=request.remote,
    )


def _level(path: str, status: int) -> int:
    """A probe that finds the process not ready yet is no error, and comes every few seconds."""
    if status < 400 or path == "/readyz":
        return logging.DEBUG
    if status < 500:
        return logging.INFO
    return logging.WARNING if status == 503 else logging.ERROR
