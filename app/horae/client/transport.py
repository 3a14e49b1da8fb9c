"""One request and its answer over HTTP, repeated where that is safe. It knows nothing of jobs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

import horae
from horae.client.errors import BadAnswer, ClientError, ConnectionFailed, Problem, problem_error
from horae.client.retries import Retries
from horae.domain.errors import FieldError
from horae.runtime.clock import Clock, SystemClock

_PREFIX = "/api/v1"
_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "errors"})
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `repeatable`: sent twice, it does no more than once. `patience`: how long the answer may be held
    back on purpose, in seconds.
    """

    method: str
    path: str
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    patience: float = 0.0


class Transport:
    """Sends requests to one api. `timeout` is for each connection and each silence, in seconds.

    Raises:
        ValueError: the URL isn't one of http or https, or carries a user's name although there is a token.
    """

    def __init__(
        self, url: str, token: str | None, *, timeout: float, retries: Retries, clock: Clock | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{_without_password(url)!r} is not a URL such as http://127.0.0.1:8080")
        if token and parts.username is not None:
            raise ValueError("a URL with a user's name in it doesn't go together with a token")
        self.url = _without_password(url).rstrip("/")
        self._base = url.rstrip("/") + _PREFIX
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection; a later request opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, ask: Ask) -> Any:
        """The JSON of the answer, or None if it has no body.

        Raises:
            ConnectionFailed: no answer, after every attempt that was safe to make.
            ProblemError: the api refused.
            BadAnswer: something else than the api answers.
        """
        failures = 0
        while True:
            try:
                return await self._once(ask)
            except ClientError as error:
                failures += 1
                pause = self._retries.pause(error, failures, random.random(), repeatable=ask.repeatable)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _once(self, ask: Ask) -> Any:
        try:
            async with self._opened().request(
                ask.method,
                self._base + ask.path,
                params=[(name, one) for name, value in ask.query.items() for one in _each(value)],
                data=None if ask.body is None else orjson.dumps(ask.body),
                headers={**self._headers(ask.body is not None), **ask.headers},
                timeout=aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=self._timeout + ask.patience),
                allow_redirects=False,
            ) as response:
                return self._read(response, await response.read())
        except _NEVER_SENT as error:
            raise ConnectionFailed(self.url, _reason(error), sent=False) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionFailed(self.url, _reason(error), sent=True) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _headers(self, has_body: bool) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"horae/{horae.__version__}"}
        if has_body:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _read(self, response: aiohttp.ClientResponse, raw: bytes) -> Any:
        if 300 <= response.status < 400:
            raise BadAnswer(self.url, f"it redirects to {response.headers.get('Location', 'somewhere')}")
        content = _json(raw)
        if response.status >= 400:
            raise problem_error(self._problem(response, content))
        if raw and content is None:
            raise BadAnswer(self.url, f"{response.status} with {response.content_type}, not JSON")
        return content

    def _problem(self, response: aiohttp.ClientResponse, content: Any) -> Problem:
        told = content if isinstance(content, dict) else {}
        return Problem(
            status=response.status,
            title=str(told.get("title") or response.reason or "refused"),
            type=str(told.get("type") or "about:blank"),
            detail=str(told.get("detail") or ""),
            errors=tuple(_field_errors(told.get("errors"))),
            request_id=told.get("instance") or response.headers.get("X-Request-Id"),
            retry_after=_retry_after(response.headers.get("Retry-After"), self._clock.now()),
            extra={name: value for name, value in told.items() if name not in _MEMBERS},
        )


def _each(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None


def _field_errors(listed: Any) -> list[FieldError]:
    if not isinstance(listed, list):
        return []
    return [FieldError(str(e.get("field", "")), str(e.get("message", ""))) for e in listed if isinstance(e, dict)]


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from now, of a number of seconds or an HTTP date; None if it is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _reason(error: BaseException) -> str:
    """A few words, without the URL, which the message names already."""
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return "connection refused" if refused else (error.os_error.strerror or str(error.os_error)).lower()
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error).lower() or type(error).__name__


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
