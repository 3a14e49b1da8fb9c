"""What isn't a job is refused through the real process, with every wrong field named, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.e2e.support.installation import Installation

pytestmark = pytest.mark.service

DEEP: dict[str, Any] = {}
for _ in range(30):
    DEEP = {"deeper": DEEP}

MALFORMED: list[tuple[str, Any]] = [
    ("handler", {}),
    ("handler", {"handler": None}),
    ("handler", {"handler": 7}),
    ("handler", {"handler": "nobody-knows-it"}),
    ("payload", {"handler": "noop", "payload": []}),
    ("payload", {"handler": "noop", "payload": DEEP}),
    ("payload", {"handler": "noop", "payload": {"text": "x" * 70_000}}),
    ("payload", {"handler": "noop", "payload": {str(number): 1 for number in range(1_001)}}),
    ("payload.seconds", {"handler": "sleep", "payload": {"seconds": "soon"}}),
    ("queue", {"handler": "noop", "queue": "No Such Name"}),
    ("priority", {"handler": "noop", "priority": "urgent"}),
    ("run_at", {"handler": "noop", "run_at": "tomorrow"}),
    ("run_at", {"handler": "noop", "run_at": "2026-02-30T00:00:00Z"}),
    ("delay_seconds", {"handler": "noop", "delay_seconds": -1}),
    ("delay_seconds", {"handler": "noop", "delay_seconds": True}),
    ("max_retries", {"handler": "noop", "max_retries": 101}),
    ("backoff.kind", {"handler": "noop", "backoff": {"kind": "random"}}),
    ("timeout_seconds", {"handler": "noop", "timeout_seconds": 0}),
    ("tags", {"handler": "noop", "tags": "a"}),
    ("tags.0", {"handler": "noop", "tags": ["Ä"]}),
    ("expires_at", {"handler": "noop", "expires_at": 0}),
    ("priorty", {"handler": "noop", "priorty": "low"}),
]


async def test_each_is_refused_and_leaves_no_row(shared: Installation) -> None:
    before = shared.states()
    async with aiohttp.ClientSession(shared.client.url) as session:
        for field, body in MALFORMED:
            async with session.post("/api/v1/jobs", json=body) as answer:
                problem = await answer.json(content_type="application/problem+json")
                assert answer.status in {400, 413, 422}, (field, problem)
                assert any(error["field"].startswith(field) for error in problem["errors"]), (field, problem)
        for text in (b"", b"{", b"[]", b"\xff", b'"job"'):
            async with session.post("/api/v1/jobs", data=text) as answer:
                assert 400 <= answer.status < 500
                assert answer.content_type == "application/problem+json"
    assert shared.states() == before
