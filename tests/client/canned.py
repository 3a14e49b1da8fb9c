"""An api that says what a test told it to say, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

JOB: Mapping[str, Any] = {
    "id": "019ab000-0000-7000-8000-000000000001",
    "namespace": "default",
    "handler": "echo",
    "payload": {"hello": "world"},
    "queue": "default",
    "priority": "normal",
    "state": "PENDING",
    "version": 3,
    "attempt": 0,
    "failures": 0,
    "run_at": "2026-03-01T12:00:00Z",
    "max_retries": 3,
    "backoff": {"kind": "fixed", "base_seconds": 2.0, "factor": 2.0, "max_seconds": 60.0, "jitter": 0.0},
    "timeout_seconds": 300.0,
    "tags": ["a", "b"],
    "expires_at": None,
    "retry_for_seconds": None,
    "idempotency_key": None,
    "cancel_requested": False,
    "created_at": "2026-03-01T12:00:00.123456Z",
    "started_at": None,
    "finished_at": None,
    "worker_id": None,
    "result": None,
    "error": None,
    "progress": None,
    "schedule_id": None,
    "fire_time": None,
}


def job(**members: Any) -> dict[str, Any]:
    """A job as the api shows it."""
    return {**JOB, **members}


def problem(status: int, title: str = "refused", **members: Any) -> Answer:
    """A refusal."""
    return Answer({"title": title, "status": status, **members}, status=status)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. `cut`: hang up without an answer. `silent`: never answer."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


class Canned:
    """Gives the answers one after the other; the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        self.url = ""

    def will_say(self, *answers: Answer | Mapping[str, Any]) -> None:
        """The answers to come; a mapping is a 200 with it."""
        self.answers = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        raw = await request.read()
        query = {name: request.query.getall(name) for name in request.query}
        self.asked.append(
            Asked(
                request.method,
                request.raw_path.partition("?")[0],
                query,
                dict(request.headers),
                orjson.loads(raw) if raw else None,
            )
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.silent:
            await asyncio.Event().wait()
        if answer.cut and request.transport is not None:
            request.transport.abort()
        content = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
        return web.Response(body=content, status=answer.status, headers=answer.headers)


@asynccontextmanager
async def canned_api() -> AsyncIterator[Canned]:
    """A canned api that listens on a free port."""
    canned, app = Canned(), web.Application()
    app.router.add_route("*", "/{path:.*}", canned.handle)
    async with TestServer(app) as server:
        canned.url = str(server.make_url("/")).rstrip("/")
        yield canned
