"""Single connections to MySQL, with what the drivers leave out.

They go on in plain text when TLS was asked for and the server, or whoever sits in between, says that it has none; they
bound the wait for the TCP connection but not for the greeting behind it; and a connecting that is cancelled stays open.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import aiomysql  # type: ignore[import-untyped]
import pymysql
from pymysql.constants import CLIENT, CR
from sqlalchemy.engine import URL

from horae.domain.errors import SettingsError

CONNECT_SECONDS = 5.0
OPTIONS = frozenset({"ssl", "ssl_ca"})

SESSION = (
    # REPEATABLE READ, the server's default, makes claims block submissions and deadlock.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 5",
)


def place(address: URL) -> dict[str, Any]:
    """Where the server is and who asks, as both drivers take it.

    Raises:
        SettingsError: the address lacks a part or has an unknown option, or the file of authorities can't be read.
    """
    if not (address.host and address.username and address.database):
        raise SettingsError("HORAE_DATABASE_URL must be mysql://user:password@host:3306/db")
    return {
        "host": address.host,
        "port": address.port or 3306,
        "user": address.username,
        "password": address.password or "",
        "db": address.database,
        "charset": "utf8mb4",
        "autocommit": True,
        "client_flag": CLIENT.FOUND_ROWS,
        "ssl": _tls(address.query),
    }


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise SettingsError(f"HORAE_DATABASE_URL has the unknown option {unknown[0]!r}; there are ssl and ssl_ca")
    asked, authorities = options.get("ssl", "true" if "ssl_ca" in options else "false"), options.get("ssl_ca")
    if asked not in ("true", "false"):
        raise SettingsError("HORAE_DATABASE_URL: ssl must be true or false")
    try:
        return ssl.create_default_context(cafile=authorities) if asked == "true" else None
    except (OSError, TypeError):
        raise SettingsError("HORAE_DATABASE_URL: ssl_ca names no readable file of certificates") from None


async def connect(**arguments: Any) -> Any:
    """A connection with its session set up, in at most CONNECT_SECONDS; also a cancelled one leaves nothing open."""
    connection = _Connection(**arguments)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection._connect()  # noqa: SLF001 - its public way takes no class
            for statement in SESSION:
                await connection.query(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_blocking(address: URL, seconds: int) -> Any:
    """The same for a plain thread, each of its waits at most so many seconds."""
    waits: dict[str, Any] = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), seconds)
    return _BlockingConnection(**place(address), **waits)


class _Connection(aiomysql.Connection):  # type: ignore[misc]
    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        _insist_on_tls(self._ssl_context, self.server_capabilities)


class _BlockingConnection(pymysql.Connection):
    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        _insist_on_tls(self.ssl, self.server_capabilities)  # type: ignore[attr-defined]


def _insist_on_tls(asked: object, capabilities: int) -> None:
    """Before the password is sent: in plain text some ways of it could be read."""
    if asked and not capabilities & CLIENT.SSL:
        raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "TLS was asked for and the server offers none")
