"""HTTP jobs run from their payload on, as a worker does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from horae.handlers.builtin.http import add_http
from horae.handlers.context import JobContext
from horae.handlers.registry import Registry
from tests.handlers.contexts import context
from tests.handlers.servers import Names

Call = Callable[..., Awaitable[dict[str, Any]]]


@asynccontextmanager
async def calling(*allow: str, names: Names | None = None, ctx: JobContext | None = None) -> AsyncIterator[Call]:
    registry = Registry()
    add_http(registry, allow, names)
    http = registry.get("http")
    assert http is not None

    async def call(**payload: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await http.function(ctx or context(), **http.validate(payload))
        return answer

    try:
        yield call
    finally:
        await registry.close()
