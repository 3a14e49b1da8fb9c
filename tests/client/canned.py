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


SCHEDULE: Mapping[str, Any] = {
    "id": "019ab000-0000-7000-8000-00000000000a",
    "namespace": "default",
    "name": "nightly",
    "version": 4,
    "state": "ACTIVE",
    "cron": "0 3 * * *",
    "interval_seconds": None,
    "timezone": "Europe/Berlin",
    "start_at": None,
    "end_at": None,
    "dst_gap": "auto",
    "dst_fold": "auto",
    "max_runs": None,
    "jitter_seconds": 0,
    "misfire": "fire_once",
    "misfire_grace_seconds": 60,
    "overlap": "allow",
    "must_succeed_within_seconds": None,
    "source": None,
    "job": {"handler": "echo", "payload": {"hello": "world"}},
    "next_fire_at": "2026-03-02T02:00:00Z",
    "last_fire_at": "2026-03-01T02:00:00Z",
    "runs": 17,
    "paused_at": None,
    "paused_by": None,
    "ended_reason": None,
    "tzdata": "2026a",
    "description": "At 03:00 every day, by the clock of Europe/Berlin.",
    "created_at": "2026-02-01T12:00:00.123456Z",
    "updated_at": "2026-02-01T12:00:00.123456Z",
}

FIRE: Mapping[str, Any] = {
    "fire_time": "2026-03-02T02:00:00Z",
    "local_time": "2026-03-02T03:00:00+01:00",
    "note": None,
}

PREVIEW: Mapping[str, Any] = {
    "items": [FIRE, {**FIRE, "fire_time": "2026-03-29T01:00:00Z", "local_time": "2026-03-29T03:00:00+02:00"}],
    "dropped": [],
    "description": SCHEDULE["description"],
    "warnings": [],
}


def schedule(**members: Any) -> dict[str, Any]:
    """A schedule as the api shows it."""
    return {**SCHEDULE, **members}


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
