"""Signals for tests: ends that run, listeners that count, and a Redis of one's own to kill."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from horae.signals.base import Event, Signals, Topic
from tests.support.waiting import PATIENCE


@asynccontextmanager
async def running(*ends: Signals) -> AsyncIterator[None]:
    """Runs each of them; at the end they must let themselves be cancelled, and are closed."""
    tasks = [asyncio.create_task(end.run()) for end in ends]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=PATIENCE)
        assert not left, "run doesn't end when it is cancelled"
        for end in ends:
            await end.close()


class Listener:
    """Counts how often it was woken."""

    def __init__(self, signals: Signals, topic: Topic) -> None:
        self.woken = 0
        signals.listen(topic, self._wake)

    def _wake(self) -> None:
        self.woken += 1


async def first(events: AsyncIterator[Event]) -> Event:
    """The next event, which must come."""
    async with asyncio.timeout(PATIENCE):
        return await anext(events)


@asynccontextmanager
async def told(signals: Signals, namespace: str) -> AsyncIterator[list[Event]]:
    """What watchers of the namespace are told within the block: complete once it is left."""
    found: list[Event] = []
    async with signals.watch(namespace) as events:
        yield found
        signals.emit(Event("end", namespace))
        async for event in events:
            if event.kind == "end":
                return
            found.append(event)


class RedisServer:
    """Keeps nothing on disk. Its port is below the range of outgoing connections, which could take it meanwhile."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns before it answers."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        quiet = ["--save", "", "--appendonly", "no", "--logfile", "log"]
        self._process = subprocess.Popen([self._program, *place, *quiet])

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a crash would; returns when it is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def _free_port() -> int:
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
