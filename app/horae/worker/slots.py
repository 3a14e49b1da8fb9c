"""Slots: how many jobs may run at once. Whoever waits is served in the order of asking."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """A counter of free slots that hands out several at once."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, wanted: int, within: float) -> int:
        """At least one slot and at most `wanted`, as many as are free when its turn comes; 0 after `within` seconds."""
        if (self._waiting or not self.free) and not await self._turn(within):
            return 0
        taken = min(wanted, self.free)
        self.free -= taken
        self._wake()
        return taken

    async def _turn(self, within: float) -> bool:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        came = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await turn
                came = True
        finally:
            self._waiting.remove(turn)
            if not came:
                # It may have come in the very moment in which nobody waited for it any more: it is the next one's.
                self._wake()
        return came

    def give_back(self, count: int = 1) -> None:
        """Frees slots."""
        self.free += count
        self._wake()

    def _wake(self) -> None:
        if self.free and self._waiting and not self._waiting[0].done():
            self._waiting[0].set_result(None)
