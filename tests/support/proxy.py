"""A TCP proxy in front of a MySQL server that cuts a connection at a chosen statement.

It understands just enough of the protocol to know each statement's text: packets of a 3-byte length, a sequence number
and a body; a command begins with sequence 0, and 0x03 is a query.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from sqlalchemy.engine import make_url

QUERY = 3


class Cut(Enum):
    """What the server knows of the statement at which a connection is cut."""

    UNSENT = "the server never saw it"
    UNANSWERED = "the server has done it, the client never hears of it"
    SILENT = "the server has done it, and the client waits for its answer for ever"


@dataclass(frozen=True)
class Plan:
    """To cut at a statement that begins with `statement`, after one of its transaction that begins with `after`."""

    statement: bytes
    cut: Cut | None
    after: bytes

    def fits(self, statement: bytes, said: Sequence[bytes]) -> bool:
        """Whether it is for this statement, `said` being those that the transaction has had before."""
        return statement.startswith(self.statement) and any(each.startswith(self.after) for each in (b"", *said))


class MySqlProxy:
    """Forwards connections; a statement that a plan matches is cut off, once for each time it was planned."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._plans: list[Plan] = []
        self._clients: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[MySqlProxy]:
        """A proxy before the server of that address; `url` is the same database through it."""
        address = make_url(url)
        proxy = cls(address.host or "127.0.0.1", address.port or 3306)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy.url = address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        try:
            yield proxy
        finally:
            server.close()
            proxy.sever()

    def plan(self, statement: str, cut: Cut | None, times: int = 1, after: str = "") -> None:
        """Cuts the next so many connections that send a statement which begins so; None lets them pass.

        With `after` only those whose transaction has sent a statement before that begins so.
        """
        self._plans += [Plan(_normal(statement), cut, _normal(after))] * times

    @property
    def planned(self) -> int:
        """How many of the planned statements are still to come."""
        return len(self._plans)

    def sever(self) -> None:
        """Cuts every connection now."""
        for client in self._clients:
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self._clients.add(writer)
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        answers = _Answers(up_reader, writer)
        backward = asyncio.create_task(answers.pump())
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._forward(reader, up_writer, answers)
        finally:
            self._clients.discard(writer)
            for transport in (writer.transport, up_writer.transport):
                transport.abort()
            backward.cancel()
            await asyncio.gather(backward, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, answers: _Answers) -> None:
        said: list[bytes] = []
        while True:
            head = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(head[:3], "little"))
            cut = self._cut(head[3], body, said)
            if cut is Cut.UNSENT:
                return
            if cut is not None:
                answers.swallow()
            server.write(head + body)
            await server.drain()
            if cut is Cut.UNANSWERED:
                await answers.swallowed.wait()
                return

    def _cut(self, sequence: int, body: bytes, said: list[bytes]) -> Cut | None:
        if sequence != 0 or body[:1] != bytes([QUERY]):
            return None
        statement = _normal(body[1:1000].decode("utf-8", "replace"))
        for plan in self._plans:
            if plan.fits(statement, said):
                self._plans.remove(plan)
                return plan.cut
        if statement == b"BEGIN":
            said.clear()
        said.append(statement)
        return None


def _normal(statement: str) -> bytes:
    """Its beginning; some go on for megabytes."""
    return statement[:200].lstrip().upper().encode()


class _Answers:
    """The way from the server to the client, which can be made to lead nowhere."""

    def __init__(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._reader, self._client = reader, client
        self._send: Callable[[bytes], None] = client.write
        self.swallowed = asyncio.Event()

    def swallow(self) -> None:
        """Drops whatever the server says from now on; `swallowed` is set when it has said something."""
        self._send = lambda _: self.swallowed.set()

    async def pump(self) -> None:
        with suppress(OSError):
            while data := await self._reader.read(65_536):
                self._send(data)
        if not self.swallowed.is_set():
            self._client.transport.abort()
