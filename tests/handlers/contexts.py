"""Contexts as a worker would make them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from horae.handlers.context import JobContext, JobFacts

FACTS = JobFacts(
    job_id="01926f2e-0000-7000-8000-000000000001",
    attempt=2,
    token=7,
    handler="http",
    queue="default",
    namespace="acme",
)
FIRE_TIME = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


class Reports:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []

    async def progress(self, value: float, message: str) -> None:
        self.seen.append((value, message))


def context(reports: Reports | None = None, **facts: Any) -> JobContext:
    return JobContext(replace(FACTS, **facts), reports or Reports())
