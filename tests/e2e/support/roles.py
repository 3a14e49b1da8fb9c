"""Roles of Horae as processes: started, asked whether they are ready, signalled, and weighed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.waiting import eventually

START_SECONDS = 30.0
"""for a role to be ready, on a machine that is busy"""
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class Role:
    """One `horae serve`; its log is a file of JSON lines beside `file`."""

    def __init__(self, log: Path, port: int, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.log = log
        self.port = port
        self._arguments = arguments
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns before it is ready; may be called again when it has ended."""
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "horae", "serve", "--log-format", "json"),
                *self._arguments,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def ready(self) -> None:
        """Returns when it says so itself."""
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: self._is_ready(session), START_SECONDS)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        assert self.alive, f"it ended with {self._process and self._process.returncode}: {self.log.read_text()[-2000:]}"
        with suppress(aiohttp.ClientError):
            async with session.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                return answer.status == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        """Of this process alone."""
        assert self._process
        self._process.send_signal(number)

    async def kill(self) -> None:
        """As a crash would; returns when it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self, seconds: float = 40.0) -> int:
        """Waits until it has; its exit code."""
        assert self._process
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def clean_up(self) -> None:
        """Whatever state it is in."""
        if self.alive:
            await self.kill()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it has logged under that name."""
        return [entry for entry in self._logged() if entry["event"] == name]

    def errors(self) -> list[dict[str, Any]]:
        """What it has logged as errors."""
        return [entry for entry in self._logged() if entry["level"] in ("error", "critical")]

    def _logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    @property
    def memory(self) -> int:
        """Bytes that it has in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_SIZE


def free_port() -> int:
    """Below the range of outgoing connections, which could take it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
