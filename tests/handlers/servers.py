"""Loopback servers that count connections and answer bytes as the test says, and a name server of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Listener:
    """A server on loopback; `requests` are the raw heads and bodies that came."""

    answer: Answer
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await _one_request(reader))
                await self.answer(writer)
                await writer.drain()
        writer.close()


async def _one_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


def fixed(response: bytes) -> Answer:
    """The same bytes for each request."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(response)

    return answer


def ok(body: bytes = b"hello", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def listening(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Listener]:
    listener = Listener(answer)
    server = await asyncio.start_server(listener.serve, host, port)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


class Names(AbstractResolver):
    """A name server: each name has a list of answers, one for each lookup; the last one stays."""

    def __init__(self, answers: Mapping[str, list[list[str]]]) -> None:
        self._answers = {name: list(sets) for name, sets in answers.items()}
        self.lookups: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.lookups.append(host)
        sets = self._answers.get(host.removesuffix("."))
        if not sets:
            raise OSError(f"no such name: {host}")
        chosen = sets.pop(0) if len(sets) > 1 else sets[0]
        results = [_result(host, address, port) for address in chosen]
        return [each for each in results if family in (socket.AF_UNSPEC, each["family"])]

    async def close(self) -> None:
        pass


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
