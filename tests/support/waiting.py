"""Waiting for what another task or process does, with a deadline instead of a guess."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

PATIENCE = 10.0
"""seconds until what should have come counts as missing"""


async def eventually(true: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Returns as soon as it is true; TimeoutError when it doesn't become so in time."""
    pause = 0.001
    async with asyncio.timeout(seconds):
        while not await _answer(true()):
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)


async def _answer(value: bool | Awaitable[bool]) -> bool:
    return await value if inspect.isawaitable(value) else value
