"""Handlers of a user, loaded by the workers under test; what they do is written down in an append-only file.

Each line of the file $RUN_LOG is `start|end JOB ATTEMPT TOKEN PID`. It is the witness outside of the product.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from horae import JobContext, handler


def note(word: str, ctx: JobContext) -> None:
    """One line, whole or not at all, whoever else is writing."""
    line = f"{word} {ctx.job_id} {ctx.attempt} {ctx.token} {os.getpid()}\n"
    file = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@handler("witness")
async def witness(ctx: JobContext, *, seconds: float = 0.0, again: float | None = None) -> None:
    """Tells of its start and of its end; lasts for `again` seconds from the second attempt on."""
    note("start", ctx)
    await asyncio.sleep(seconds if again is None or ctx.attempt == 1 else again)
    note("end", ctx)


@handler("blocking")
async def blocking(ctx: JobContext, *, seconds: float) -> None:
    """Blocks the event loop, as nobody should."""
    note("start", ctx)
    time.sleep(seconds)  # noqa: ASYNC251, TID251 - that is what it is for
    note("end", ctx)


@handler("poison")
async def poison(ctx: JobContext) -> None:
    """Kills the process that it runs in."""
    note("start", ctx)
    os.kill(os.getpid(), signal.SIGKILL)


@handler("isolated-poison", isolate=True)
async def isolated_poison(ctx: JobContext) -> None:
    """The same, in a process of its own from the first attempt on."""
    note("start", ctx)
    os.kill(os.getpid(), signal.SIGKILL)
