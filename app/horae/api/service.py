"""The api role: the application on a port, from start to a stop that finishes what is under way."""

from __future__ import annotations

import asyncio
import errno

import structlog
from aiohttp import web

from horae.api.application import build_app
from horae.api.connections import Connections, most_connections
from horae.api.context import ApiDeps
from horae.domain.errors import SettingsError

log = structlog.get_logger(__name__)

BACKLOG = 1024


class Api:
    """Serves the api on a host and port; port 0 takes a free one. `drain_seconds` bounds the stop."""

    def __init__(
        self, deps: ApiDeps, host: str, port: int, *, drain_seconds: float = 30.0, connections: int | None = None
    ) -> None:
        self._host, self._port = host, port
        self._connections = connections or most_connections()
        self._runner = web.AppRunner(build_app(deps), handle_signals=False, shutdown_timeout=drain_seconds)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        sockets = self._listener.sockets if self._listener else ()
        return int(sockets[0].getsockname()[1]) if sockets else self._port

    @property
    def url(self) -> str:
        """Where it is found."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listens.

        Raises:
            SettingsError: the port is taken or can't be had.
        """
        await self._runner.setup()
        try:
            self._listener = await self._listen()
        except OSError as error:
            await self._runner.cleanup()
            raise _refusal(self._host, self._port, error) from None
        log.info("api.listening", url=self.url)

    async def _listen(self) -> asyncio.Server:
        server = self._runner.server
        assert server is not None  # noqa: S101 - set up before
        factory = Connections(server, self._connections)
        return await asyncio.get_running_loop().create_server(factory, self._host, self._port, backlog=BACKLOG)

    async def stop(self) -> None:
        """Takes no more connections, answers those who wait, finishes the requests that are under way."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()
        log.info("api.stopped")


def _refusal(host: str, port: int, error: OSError) -> SettingsError:
    match error.errno:
        case errno.EADDRINUSE:
            return SettingsError(f"HORAE_PORT={port} is taken by another process on {host}")
        case errno.EACCES:
            return SettingsError(f"HORAE_PORT={port} needs rights that this process doesn't have")
        case _:
            return SettingsError(
                f"HORAE_HOST={host} with HORAE_PORT={port} can't be listened on: {error.strerror or error}"
            )
