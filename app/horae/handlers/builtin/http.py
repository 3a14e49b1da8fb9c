"""The `http` handler: one request, bounded in every direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from aiohttp import ClientSession
from aiohttp.abc import AbstractResolver
from pydantic import Field

from horae.handlers.builtin.answer import read_answer, unexpected
from horae.handlers.builtin.network import open_session
from horae.handlers.builtin.policy import Policy
from horae.handlers.builtin.request import (
    Body,
    Headers,
    Method,
    Status,
    Url,
    complete_headers,
    encode_body,
    literal_address,
)
from horae.handlers.context import JobContext
from horae.handlers.registry import Registry, define

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_SUCCESS = range(200, 300)


class HttpCaller:
    """Sends the requests of HTTP jobs over one session, which is opened with the first of them."""

    def __init__(self, policy: Policy, lookup: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._lookup = lookup
        self._session: ClientSession | None = None

    async def run(
        self,
        ctx: JobContext,
        *,
        url: Url,
        method: Method = "GET",
        headers: Headers = _NO_HEADERS,
        body: Body = None,
        expect: Annotated[Sequence[Status], Field(min_length=1, max_length=100)] = _SUCCESS,
    ) -> dict[str, Any]:
        """Sends one HTTP request; the job succeeds if the status of the answer is expected.

        Raises:
            AddressRefused: HORAE_HTTP_ALLOW doesn't permit the target.
            UnexpectedStatus: the target answered with another status.
        """
        address = literal_address(url)
        if address is not None:
            self._policy.check(url.raw_host or "", address, url.port or 0)
        content, content_type = encode_body(body)
        complete = complete_headers(ctx, headers, None if content is None else content_type)
        async with self._open().request(
            method, url, data=content, headers=complete, allow_redirects=False, skip_auto_headers=("Content-Type",)
        ) as response:
            answer = await read_answer(response)
            if response.status not in expect:
                raise unexpected(answer, response.reason)
            return answer

    def _open(self) -> ClientSession:
        if self._session is None or self._session.closed:
            self._session = open_session(self._policy, self._lookup)
        return self._session

    async def close(self) -> None:
        """Closes the session's connections."""
        if self._session is not None:
            await self._session.close()


def add_http(registry: Registry, allow: Sequence[str] = (), lookup: AbstractResolver | None = None) -> None:
    """Adds the `http` handler; `allow` are the entries of HORAE_HTTP_ALLOW.

    Raises:
        SettingsError: an entry can't be read.
    """
    caller = HttpCaller(Policy.parse(allow), lookup)
    registry.add(define("http", caller.run))
    registry.on_close(caller.close)
