"""Commands as processes of their own, in a pipe or on a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(**settings: str) -> dict[str, str]:
    """This process's, without the settings that it may have of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HORAE_")}
    return {**inherited, **settings}


async def start(*words: str, **settings: str) -> Process:
    """Starts a command."""
    command = (sys.executable, "-m", "horae", *words)
    return await asyncio.create_subprocess_exec(
        *command, env=environment(**settings), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def horae(*words: str, **settings: str) -> Ended:
    """Runs a command to its end."""
    return await ended(await start(*words, **settings))


async def ended(process: Process) -> Ended:
    """What a started command comes to."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def said(process: Process, words: str) -> str:
    """Reads lines of its output up to the one that holds the words."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while line := (await process.stdout.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"it never said {words!r}")


class Terminal:
    """A command on a terminal of its own; everything it shows, steering characters taken out, is in `shown`."""

    def __init__(self, process: Process, screen: int) -> None:
        self.process = process
        self.shown = ""
        self._screen = screen
        os.set_blocking(screen, False)
        asyncio.get_running_loop().add_reader(screen, self._read)

    def _read(self) -> None:
        try:
            content = os.read(self._screen, 65536)
        except BlockingIOError:
            return
        except OSError:  # Linux's way to say that nobody has the terminal any more
            content = b""
        if not content:
            asyncio.get_running_loop().remove_reader(self._screen)
        self.shown += _STEERING.sub("", content.decode(errors="replace"))

    async def end(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(40):
            code = await self.process.wait()
        self._read()
        return code

    async def close(self) -> None:
        """Ends what is left of it."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            await self.end()
        asyncio.get_running_loop().remove_reader(self._screen)
        os.close(self._screen)


@asynccontextmanager
async def on_terminal(*words: str, **settings: str) -> AsyncIterator[Terminal]:
    """A command on a terminal; it is interrupted if it still runs at the end."""
    screen, end = pty.openpty()
    variables = environment(TERM="xterm-256color", COLUMNS="120", LINES="40", **settings)
    command = (sys.executable, "-m", "horae", *words)
    process = await asyncio.create_subprocess_exec(*command, env=variables, stdin=end, stdout=end, stderr=end)
    os.close(end)
    terminal = Terminal(process, screen)
    try:
        yield terminal
    finally:
        await terminal.close()
