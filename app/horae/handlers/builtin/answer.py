"""What an HTTP job keeps of the answer: all of it may be hostile, so each part has its bound."""

from __future__ import annotations

import base64
import codecs
import re
import zlib
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientResponse, StreamReader

BODY_LIMIT = 64 * 1024
HEADERS_LIMIT = 16 * 1024
"""characters of all names and values together; headers beyond it are left out"""
_EXCERPT = 300

_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 47
_CHARSETS = {
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
"""Everything else is read as UTF-8: some codecs are slow, some don't give text, and unknown names would be cached."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class UnexpectedStatus(Exception):
    """The target answered with a status that the job doesn't count as success."""


async def read_answer(response: ClientResponse) -> dict[str, Any]:
    """The job's result: `status`, `headers` (names in lower case, repeated ones joined by a comma), `body`.

    Of the body at most 64 KiB are read, decompressed or not; `body_truncated` says that there was more. What isn't
    text has `body_encoding: "base64"`.
    """
    raw, more = await _read(response.content, BODY_LIMIT)
    raw, more = _decompress(raw, more, response.headers.get("Content-Encoding", ""))
    return {"status": response.status, "headers": _headers(response), **present_body(raw, more, response.charset)}


def unexpected(answer: Mapping[str, Any], reason: str | None) -> UnexpectedStatus:
    """The error for an answer with the wrong status; holds the beginning of its body."""
    text = f"the target answered {answer['status']} {reason or ''}".rstrip()
    target = answer["headers"].get("location")
    if target is not None and 300 <= answer["status"] < 400:
        text += f" to {target[:_EXCERPT]}; redirects are not followed"
    excerpt = answer["body"][:_EXCERPT] if "body_encoding" not in answer else ""
    return UnexpectedStatus(f"{text}: {excerpt}" if excerpt else text)


async def _read(content: StreamReader, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether there was more."""
    found = bytearray()
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > limit:
            return bytes(found[:limit]), True
    return bytes(found), False


def _decompress(raw: bytes, more: bool, coding: str) -> tuple[bytes, bool]:
    if coding.strip().lower() not in _CODINGS:
        return raw, more
    expander = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = expander.decompress(raw, BODY_LIMIT + 1)
    except zlib.error:
        return raw, more
    return content[:BODY_LIMIT], more or len(content) > BODY_LIMIT


def _headers(response: ClientResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    room = HEADERS_LIMIT
    for name, value in response.headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        key, text = name.lower(), _storable(value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _storable(text: str) -> str:
    # Bytes that aren't UTF-8 come as lone surrogates, which JSON can't hold.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def present_body(raw: bytes, more: bool, charset: str | None) -> dict[str, Any]:
    """The part of the result that shows the body; `more` says that it was cut off. At most 200 KiB as JSON."""
    text = _text(raw, more, charset or "")
    body: dict[str, Any] = {"body": base64.b64encode(raw).decode() if text is None else text}
    if text is None:
        body["body_encoding"] = "base64"
    if more:
        body["body_truncated"] = True
    return body


def _text(raw: bytes, more: bool, charset: str) -> str | None:
    """The text, or None if it isn't any. A character cut in half at the end of a truncated body is left out."""
    decoder = codecs.getincrementaldecoder(_CHARSETS.get(charset.lower(), "utf-8"))()
    try:
        text = decoder.decode(raw, final=not more)
    except UnicodeError:
        return None
    # Each control character takes six bytes in JSON: such a body could outgrow what a result may hold.
    return None if _CONTROLS.search(text) else text
