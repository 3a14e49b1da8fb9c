"""What all calls share: the connection, and how answers are read."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Self, TypeVar
from urllib.parse import quote

from horae.client.errors import BadAnswer
from horae.client.model import D, Page, read
from horae.client.requests import Query
from horae.client.retries import Retries
from horae.client.transport import Ask, Transport
from horae.runtime.clock import Clock, SystemClock

DEFAULT_URL = "http://127.0.0.1:8080"
LARGEST_PAGE = 200

T = TypeVar("T")


class Calls:
    """A connection to one api."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        retries: Retries | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._transport = Transport(
            url or os.environ.get("HORAE_URL") or DEFAULT_URL,
            token or os.environ.get("HORAE_TOKEN"),
            timeout=timeout,
            retries=retries or Retries(),
            clock=self._clock,
        )

    @property
    def url(self) -> str:
        """Where the api is, without a password."""
        return self._transport.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection."""
        await self._transport.close()

    async def _send(self, ask: Ask) -> Any:
        return await self._transport.send(ask)

    async def _one(self, kind: type[D], ask: Ask) -> D:
        return self._read(kind, await self._send(ask))

    async def _page(self, kind: type[D], ask: Ask) -> Page[D]:
        answer = await self._send(ask)
        items = self._member(answer, lambda content: [self._read(kind, item) for item in content["items"]])
        return Page(tuple(items), answer.get("next_cursor"))

    def _read(self, kind: type[D], content: Any) -> D:
        return read(kind, content, self.url)

    def _member(self, content: Any, take: Callable[[Any], T]) -> T:
        try:
            return take(content)
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(self.url, f"{error} is missing or not as it should be") from error


async def each_of(page: Callable[[str | None], Awaitable[Page[T]]]) -> AsyncGenerator[T, None]:
    """Every item of a list, page by page; `page` fetches the one at a cursor."""
    cursor: str | None = None
    while True:
        found = await page(cursor)
        for item in found.items:
            yield item
        cursor = found.next_cursor
        if cursor is None:
            return


def at_page(query: Query, limit: int, cursor: str | None) -> Query:
    """The query for one page of the list that `query` narrows."""
    return {**query, "limit": str(limit), **({"cursor": cursor} if cursor else {})}


def quoted(segment: str) -> str:
    """The text as one segment of a path."""
    return quote(segment, safe="")
