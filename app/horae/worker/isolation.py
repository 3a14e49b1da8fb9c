"""Runs one attempt in a process of its own, which can be killed and whose death harms nobody else.

The child gets the job as one line of JSON on its standard input, and answers on a pipe of its own with lines of JSON:
`{"progress": […]}` any number of times, then one of `{"result": …}`, `{"error": …}`, `{"retry": …}`, `{"discard": …}`.
What the handler prints goes where the worker's own output goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from horae.domain.job import Failure
from horae.handlers import Discard, Retry
from horae.handlers.context import Reporter
from horae.store.base import Run

LONGEST_LINE = 1024 * 1024


class ProcessDied(Exception):
    """The attempt's own process ended without an answer."""


class ChildFailed(Exception):
    """The handler raised in its process; `failure` is what it raised."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


class Isolation:
    """Starts the processes. `handlers` are the modules and files that they load, `http_allow` as in the settings."""

    def __init__(self, handlers: Sequence[str], http_allow: Sequence[str] = ()) -> None:
        self._handlers = handlers
        self._http_allow = http_allow

    async def run(self, run: Run, reporter: Reporter) -> Any:
        """The handler's result. Cancelled, it kills the process and waits for its end.

        Raises:
            Retry, Discard: as the handler raised them.
            ChildFailed: the handler raised something else.
            ProcessDied: the process ended without an answer.
        """
        read_end, write_end = os.pipe()
        try:
            process = await self._spawn(write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            return await self._converse(process, read_end, run, reporter)
        finally:
            await _kill(process)

    async def _spawn(self, write_end: int) -> asyncio.subprocess.Process:
        lists = (",".join(self._handlers), ",".join(self._http_allow))
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "horae.worker.child",
            str(write_end),
            *lists,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(write_end,),
            start_new_session=True,
        )

    async def _converse(self, process: asyncio.subprocess.Process, read_end: int, run: Run, reporter: Reporter) -> Any:
        async with _reading(read_end) as answers:
            assert process.stdin is not None  # noqa: S101 - asked for above
            # Left open: its end tells the child that the worker is gone.
            process.stdin.write(orjson.dumps(_job(run)) + b"\n")
            while line := await answers.readline():
                message = orjson.loads(line)
                if "progress" in message:
                    await reporter.progress(*message["progress"])
                else:
                    return _answer(message)
        raise ProcessDied(f"the process of this attempt {await _fate(process)}")


def _job(run: Run) -> dict[str, Any]:
    fields = ("id", "token", "attempt", "handler", "queue", "namespace", "schedule_id", "fire_time", "payload")
    return {name: getattr(run, name) for name in fields}


@asynccontextmanager
async def _reading(read_end: int) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(read_end, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        yield reader
    finally:
        # Its other end may be open in what the handler has started.
        transport.close()


def _answer(message: dict[str, Any]) -> Any:
    if "result" in message:
        return message["result"]
    if "retry" in message:
        raise Retry(message["retry"]["delay"], message["retry"]["reason"])
    if "discard" in message:
        raise Discard(message["discard"])
    raise ChildFailed(Failure(**message["error"]))


async def _fate(process: asyncio.subprocess.Process) -> str:
    _hang_up(process)
    code = await process.wait()
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


async def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole process group, so that nothing the handler started outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _hang_up(process)
    await process.wait()


def _hang_up(process: asyncio.subprocess.Process) -> None:
    """Closes our end of its standard input: asyncio waits for that, and what it left behind may hold the other end."""
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.transport.abort()
