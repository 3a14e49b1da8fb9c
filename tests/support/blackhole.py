"""A way to a server that can turn into a black hole: connections stay open and nothing comes through any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class BlackHole:
    """Forwards to a server until told to swallow; what connects later goes through again."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname, parts.port
        self._url = parts
        self._generation = 0
        self._refused: list[None] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str) -> AsyncIterator[BlackHole]:
        """One that listens in front of the server at this address."""
        hole = cls(target)
        hole._server = await asyncio.start_server(hole._accept, "127.0.0.1", 0)
        try:
            yield hole
        finally:
            hole._server.close()
            for task in hole._tasks:
                task.cancel()
            await asyncio.gather(*hole._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The target's address by this way."""
        assert self._server
        port = self._server.sockets[0].getsockname()[1]
        login = self._url.netloc.rpartition("@")[0]
        return self._url._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()

    @property
    def connections(self) -> int:
        """How many are open on our side."""
        return len(self._tasks)

    def swallow(self) -> None:
        """From now on nothing comes through on the connections that exist."""
        self._generation += 1

    def refuse(self) -> list[None]:
        """From now on who connects is hung up on; the answer grows by one each time."""
        self._refused = []
        return self._refused

    def welcome(self) -> None:
        """Who connects from now on gets through again."""
        self._refused = None

    def cut(self) -> None:
        """Closes every connection that exists, towards both sides."""
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refused is not None:
            self._refused.append(None)
            writer.close()
            return
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            # Cut; a server's callback must not end cancelled.
            pass
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer))
                group.create_task(self._forward(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()
            for end in (writer, far_writer):
                with suppress(OSError):
                    await end.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        with suppress(OSError):
            while data := await reader.read(65536):
                if generation == self._generation:
                    writer.write(data)
                    await writer.drain()
            writer.write_eof()
