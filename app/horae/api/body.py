"""Reads JSON bodies: within bounds of size, time, depth and numbers, and with an answer for whatever isn't JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel

from horae.api.problems import MALFORMED, TOO_LARGE, TOO_SLOW, UNSUPPORTED_MEDIA, RequestRefused
from horae.api.scan import MAX_DEPTH, Census, first_fault
from horae.domain.errors import FieldError, InvalidInput

BODY_BYTES = 256 * 1024
BULK_BYTES = 32 * 1024 * 1024
READ_SECONDS = 30.0
"""for a body to arrive as a whole"""

BODY_LEVELS = MAX_DEPTH + 1
"""a payload is one level down"""
SCHEDULE_LEVELS = MAX_DEPTH + 2
"""`job`, its payload"""
BULK_LEVELS = MAX_DEPTH + 3
"""`jobs`, a job, its payload"""
BULK_OPENINGS = 2_000_000
"""objects and arrays in a bulk: each costs far more memory than its two bytes of text"""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Unchecked(Generic[M]):
    """JSON as it was given, for a route that checks it against the model by itself, piece by piece."""

    value: Any
    text: bytes


async def read_json(request: web.Request, limit: int) -> Unchecked[Any]:
    """The body of at most `limit` bytes, parsed.

    Raises:
        RequestRefused: 400, 408, 413 or 415.
        InvalidInput: it is nested too deeply.
    """
    _check_media(request)
    text = await _read(request, limit)
    _check_openings(text)
    return Unchecked(_parse(text), text)


async def check_text(body: Unchecked[Any], levels: int = BODY_LEVELS) -> int:
    """Refuses what the parser let pass: see `scan`. Answers how many keys there are in all.

    `levels` is how deep the body may be nested as a whole.

    Raises:
        InvalidInput: names the place.
    """
    census = Census(levels)
    census.add(body.value)
    await check_census(census, body.text, levels)
    return census.keys


async def check_census(census: Census, text: bytes, levels: int) -> None:
    """As `check_text`, with the values counted already; `levels` is how deep the text may be nested as a whole."""
    if len(text) <= BODY_BYTES:
        fault = _fault(census, text, levels)
    else:
        fault = await asyncio.to_thread(_fault, census, text, levels)
    if fault is not None:
        raise InvalidInput([fault])


def _fault(census: Census, text: bytes, levels: int) -> FieldError | None:
    return None if census.agrees_with(text) else first_fault(text, levels)


async def refuse_body(request: web.Request) -> None:
    """Lets nothing but an empty object pass, on a route that takes no body."""
    if request.body_exists and (await _read(request, BODY_BYTES)).strip() not in (b"", b"{}"):
        raise InvalidInput.of("body", "must be empty: this address takes no body")


def _check_media(request: web.Request) -> None:
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        given = request.headers.get("Content-Type", "none")
        raise RequestRefused(UNSUPPORTED_MEDIA, f"must be application/json in UTF-8, not {given}", "Content-Type")
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise RequestRefused(UNSUPPORTED_MEDIA, f"{encoding} is not taken: send the body as it is", "Content-Encoding")


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _gather(request, limit)
    except TimeoutError:
        detail = f"the body didn't arrive within {READ_SECONDS:g} seconds"
        raise RequestRefused(TOO_SLOW, detail, "body") from None
    except (web.RequestPayloadError, ConnectionError):
        raise RequestRefused(MALFORMED, "the body is cut off or wrongly chunked", "body") from None


async def _gather(request: web.Request, limit: int) -> bytes:
    stream, parts, size = request.content, list[bytes](), 0
    while not stream.at_eof():
        part = await stream.readany()
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(TOO_LARGE, f"is larger than {limit:,} bytes", "body")


def _check_openings(text: bytes) -> None:
    if len(text) > BULK_OPENINGS and text.count(b"[") + text.count(b"{") > BULK_OPENINGS:
        raise RequestRefused(TOO_LARGE, f"holds more than {BULK_OPENINGS:,} objects and arrays", "body")


def _parse(text: bytes) -> Any:
    if not text or text.isspace():
        raise RequestRefused(MALFORMED, "is empty: a JSON object is needed", "body")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(text, error) from None


def _unreadable(text: bytes, error: orjson.JSONDecodeError) -> Exception:
    if "depth limit" in error.msg:
        return InvalidInput([first_fault(text, BULK_LEVELS) or FieldError("body", "is nested too deeply")])
    return RequestRefused(MALFORMED, f"is not JSON: {error}", "body")
