"""What the demo runs beside itself: `horae serve` in a temporary directory, and a web address for its HTTP job."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from aiohttp import web

_HOST = "127.0.0.1"
_PORTS_TO_TRY = 200
_BOOT_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LINES_OF_LOG = 15


class DemoFailed(Exception):
    """It can't go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running `horae serve`."""

    url: str
    directory: Path
    process: asyncio.subprocess.Process

    def check(self) -> None:
        """Raises DemoFailed with the end of its log if it has ended."""
        if self.process.returncode is not None:
            raise DemoFailed(f"horae serve ended with {self.process.returncode}:\n{_end_of(self.directory)}")


@asynccontextmanager
async def web_address() -> AsyncIterator[str]:
    """A URL on this machine that answers any POST or GET with a JSON object."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"received": True})

    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, 0)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(allowed: str, first_port: int = 8080) -> AsyncIterator[Server]:
    """`horae serve` on the embedded default, on that port or the next free one; HTTP jobs may reach `allowed`.

    Drained and gone afterwards, with everything that it kept.

    Raises:
        DemoFailed: it doesn't come up.
    """
    with TemporaryDirectory(prefix="horae-demo-", ignore_cleanup_errors=True) as name:
        directory, port = Path(name), _free_port(first_port)
        server = Server(f"http://{_HOST}:{port}", directory, await _start(directory, port, allowed))
        try:
            await _until_ready(server)
            yield server
        finally:
            await _stop(server.process)


def _free_port(first: int) -> int:
    for port in range(first, first + _PORTS_TO_TRY):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise DemoFailed(f"no port is free from {first} to {first + _PORTS_TO_TRY - 1}")


async def _start(directory: Path, port: int, allowed: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HORAE_")}
    settings = {
        "HORAE_DATABASE_URL": f"sqlite:///{directory}/horae.db",
        "HORAE_HTTP_ALLOW": allowed,
        "HORAE_HANDLERS": "horae.cli.demo.handlers",
        "HORAE_PORT": str(port),
        "HORAE_LOG_FORMAT": "console",
    }
    with _log(directory).open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "horae", "serve", "--role", "all"),
            env=inherited | settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo alone, which then stops it
        )


async def _until_ready(server: Server) -> None:
    try:
        async with asyncio.timeout(_BOOT_SECONDS), aiohttp.ClientSession(server.url) as session:
            while not await _is_ready(session):
                server.check()
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise DemoFailed(f"horae serve isn't ready:\n{_end_of(server.directory)}") from None


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
    finally:
        # Also after a second Ctrl-C: nothing may be left behind.
        if process.returncode is None:
            process.kill()


def _log(directory: Path) -> Path:
    return directory / "serve.log"


def _end_of(directory: Path) -> str:
    return "\n".join(_log(directory).read_text(errors="replace").splitlines()[-_LINES_OF_LOG:])
