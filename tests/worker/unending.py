"""Handlers that can't be ended; they say when they run."""

from __future__ import annotations

import asyncio
import sys
import threading

from horae import JobContext, ThreadJobContext, handler


def _say() -> None:
    sys.stdout.write("running\n")
    sys.stdout.flush()


@handler("unending.deaf")
async def deaf(_ctx: JobContext) -> None:
    """Swallows every cancellation."""
    _say()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


@handler("unending.executor")
async def executor(_ctx: JobContext) -> None:
    """Blocks a thread of the event loop's own pool."""
    _say()
    await asyncio.to_thread(threading.Event().wait, 60)


@handler("unending.thread")
def thread(_ctx: ThreadJobContext) -> None:
    """Blocks its thread."""
    _say()
    threading.Event().wait(60)
