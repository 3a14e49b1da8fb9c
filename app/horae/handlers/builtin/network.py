"""Connections of HTTP jobs: every address is checked, and only a checked one is connected to.

A name is looked up once, all its answers are checked, and the connection goes to one of them; a second lookup, which
could answer differently (DNS rebinding), never happens. Addresses written in a URL don't pass through aiohttp's
resolver: the caller checks them. The socket is the last wall behind both.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from horae.handlers.builtin.policy import AddressRefused, Policy

CONNECTIONS = 1000
KEEP_SECONDS = 1.0
"""Short: a connection that the target closes in the moment of a request would be a failed attempt."""


class GuardedResolver(AbstractResolver):
    """Looks names up and refuses those with an answer that jobs may not reach."""

    def __init__(self, policy: Policy, lookup: AbstractResolver) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the host; raises AddressRefused if one of them may not be reached."""
        answers = await self._lookup.resolve(host, port, family)
        for answer in answers:
            self._policy.check(host, ip_address(answer["host"]), port)
        return answers

    async def close(self) -> None:
        """Closes the resolver below."""
        await self._lookup.close()


def open_session(policy: Policy, lookup: AbstractResolver | None = None) -> ClientSession:
    """A session for all HTTP jobs of the process: no cookies, no proxies, no redirects by itself, no time limit.

    The time limit is the job's own. Answers with more than 128 headers or one longer than 8 KiB are errors.
    """

    def guarded_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = info
        if not policy.may_connect(ip_address(target[0]), int(target[1])):
            raise AddressRefused("HTTP jobs may not connect there")
        return socket.socket(family, kind, protocol)

    connector = TCPConnector(
        limit=CONNECTIONS,
        keepalive_timeout=KEEP_SECONDS,
        resolver=GuardedResolver(policy, lookup or ThreadedResolver()),
        use_dns_cache=False,
        socket_factory=guarded_socket,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=ClientTimeout(),
    )
