"""Waiting for what another task or process does, with a deadline instead of a guess."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

R = TypeVar("R")

PATIENCE = 10.0
"""seconds until what should have come counts as missing"""


async def eventually(
    true: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE, pause: float = 0.001
) -> None:
    """Returns as soon as it is true; TimeoutError when it doesn't become so in time."""
    async with asyncio.timeout(seconds):
        while not await _answer(true()):
            await asyncio.sleep(pause)
            pause = max(pause, min(2 * pause, 0.05))


async def _answer(value: bool | Awaitable[bool]) -> bool:
    return await value if inspect.isawaitable(value) else value


async def together(*coroutines: Coroutine[Any, Any, R]) -> list[R]:
    """Runs all at once; what one of them raises ends the others, so that none goes on into the next test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]
