"""Handlers to try things out with."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from horae.handlers.context import JobContext
from horae.handlers.registry import Registry

BASIC = Registry()


class DeliberateFailure(Exception):
    """What `fail` raises."""


@BASIC.handler("noop")
async def noop(_ctx: JobContext, /, **_payload: Any) -> None:
    """Does nothing, whatever its payload."""


@BASIC.handler("sleep")
async def sleep(_ctx: JobContext, *, seconds: Annotated[float, Field(ge=0)]) -> None:
    """Waits for so many seconds; ends at once when it is cancelled."""
    await asyncio.sleep(seconds)


@BASIC.handler("echo")
async def echo(_ctx: JobContext, /, **payload: Any) -> dict[str, Any]:
    """Returns its payload."""
    return payload


@BASIC.handler("fail")
async def fail(
    ctx: JobContext, *, times: Annotated[int, Field(ge=0)], message: str = "failed as asked"
) -> dict[str, int]:
    """Fails as long as `attempt` is at most `times`, then succeeds.

    Attempts count every start, also those that were lost or given back, and go on counting after a retry by hand: a
    job that has used up its `times` succeeds then.
    """
    if ctx.attempt <= times:
        raise DeliberateFailure(f"{message} (attempt {ctx.attempt} of {times} that fail)")
    return {"attempt": ctx.attempt}
