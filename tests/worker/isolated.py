"""Handlers that run in a process of their own; loaded by that process, never imported by a test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

from horae import Discard, JobContext, Retry, ThreadJobContext, handler

AGES = "60"


@handler("own.facts")
async def facts(ctx: JobContext, **payload: Any) -> dict[str, Any]:
    told = {"job_id": ctx.job_id, "attempt": ctx.attempt, "token": ctx.token, "key": ctx.idempotency_key}
    return {**told, "pid": os.getpid(), "payload": payload}


@handler("own.thread")
def thread(ctx: ThreadJobContext, *, steps: int) -> int:
    for step in range(steps):
        ctx.progress(step / steps, f"step {step}")
    return os.getpid()


@handler("own.raises")
async def raises(_ctx: JobContext, *, what: str) -> None:
    errors = {"error": ValueError("broken"), "retry": Retry(7.5, "not yet"), "discard": Discard("no such user")}
    raise errors[what]


@handler("own.dies")
async def dies(_ctx: JobContext, *, how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.Signals[how])
    await asyncio.sleep(60)


@handler("own.waits")
async def waits(ctx: JobContext) -> None:
    """With a process of its own; tells both ids."""
    child = await asyncio.create_subprocess_exec("sleep", AGES)
    await ctx.progress(0, f"{os.getpid()} {child.pid}")
    await asyncio.sleep(60)


@handler("own.leaves")
async def leaves(ctx: JobContext, *, dies: bool) -> str:
    """Leaves behind a process of another session, and tells its id."""
    pid = await _start() if dies else _fork()
    await ctx.progress(0, str(pid))
    if dies:
        os._exit(3)
    return "done"


async def _start() -> int:
    return (await asyncio.create_subprocess_exec("sleep", AGES, start_new_session=True)).pid


def _fork() -> int:
    """A process that holds every open file of this one."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.pause()
    return pid


@handler("own.background")
def background(_ctx: ThreadJobContext) -> None:
    """Dies with a program in the background that was started by a shell."""
    os.system(f"sleep {AGES} &")
    os._exit(3)


@handler("own.leftovers")
async def leftovers(_ctx: JobContext) -> str:
    """Returns while a task and a thread of its own go on."""

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(deaf())
    asyncio.get_running_loop().run_in_executor(None, lambda: subprocess.run(["sleep", AGES], check=False))
    await asyncio.sleep(0.01)
    return f"left {not task.done()}"


@handler("own.prints")
async def prints(_ctx: JobContext) -> str:
    print("to stdout")  # noqa: T201 - a handler may
    sys.stdout.write("without an end")
    return "printed"
