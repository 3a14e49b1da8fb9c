"""What an HTTP job sends: pure. The URL is parsed once, here, and that object is used from then on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import orjson
from multidict import CIMultiDict
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from yarl import URL

import horae
from horae.handlers.builtin.addresses import Address
from horae.handlers.builtin.policy import is_name
from horae.handlers.context import Context, as_text
from horae.handlers.wording import OWN_MESSAGE

_HOST = r"(?:\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[^\x00-\x20\x7f/?#@\\\[\]:]+)"
_URL = rf"^[Hh][Tt][Tt][Pp][Ss]?://{_HOST}(?::[0-9]{{1,5}})?(?:[/?#][^\x00-\x20\x7f\\]*)?$"
_URL_MESSAGE = "must be an http:// or https:// URL without user name, spaces and backslashes"

_DENIED = (
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "idempotency-key",
)
"""headers that frame the message, or that are Horae's to set; so is everything that begins with x-horae-"""


def _any_case(text: str) -> str:
    return "".join(f"[{char.upper()}{char}]" if char.isalpha() else char for char in text)


_NAME = (
    f"^(?!(?:{'|'.join(_any_case(name) for name in _DENIED)})$)(?!{_any_case('x-horae-')})"
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
)
_NAME_MESSAGE = "is not a header that a job may set"
_VALUE = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
_VALUE_MESSAGE = "must be a string without line breaks and control characters"


def parse_url(text: object) -> URL:
    """The URL, its host in ASCII.

    Raises:
        ValueError: it isn't http(s), or its authority can be read in more than one way.
    """
    if not isinstance(text, str) or not _matches(_URL, text):
        raise ValueError(_URL_MESSAGE)
    try:
        url = URL(text)
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if url.raw_host is None or not url.port or not (literal_address(url) or is_name(url.raw_host)):
        raise ValueError("has no host name or address that is safe to use")
    return url


def literal_address(url: URL) -> Address | None:
    """The address if the URL names one instead of a host."""
    try:
        return ip_address(url.raw_host or "")
    except ValueError:
        return None


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers as they are.

    Raises:
        ValueError: a job may not set one of them, or a value would break out of its line.
    """
    for name, value in headers.items():
        if not _matches(_NAME, name):
            raise ValueError(f"{name!r} {_NAME_MESSAGE}")
        if not _matches(_VALUE, value):
            raise ValueError(f"{name!r} {_VALUE_MESSAGE}")
    return headers


def encode_body(body: str | Mapping[str, Any] | list[Any] | None) -> tuple[bytes | None, str]:
    """The bytes and their content type: text as it is, an object or array as JSON."""
    if body is None or isinstance(body, str):
        return (None if body is None else body.encode()), "text/plain; charset=utf-8"
    return orjson.dumps(body), "application/json"


def complete_headers(ctx: Context, chosen: Mapping[str, str], content_type: str | None) -> CIMultiDict[str]:
    """The headers to send: defaults, then the job's own, then those that tell the target which attempt this is."""
    headers = CIMultiDict({"User-Agent": f"Horae/{horae.__version__}", "Accept-Encoding": "identity"})
    if content_type is not None:
        headers["Content-Type"] = content_type
    headers.update(chosen)
    headers["Idempotency-Key"] = ctx.idempotency_key
    headers["X-Horae-Job-Id"] = ctx.job_id
    headers["X-Horae-Attempt"] = str(ctx.attempt)
    headers["X-Horae-Token"] = str(ctx.token)
    if ctx.fire_time is not None:
        headers["X-Horae-Fire-Time"] = as_text(ctx.fire_time)
    return headers


def _matches(pattern: str, text: str) -> bool:
    # `$` of Python also matches before a line break at the end, the schema's doesn't.
    return re.search(pattern, text) is not None and not text.endswith("\n")


Url = Annotated[
    URL,
    PlainValidator(parse_url),
    WithJsonSchema({"type": "string", "maxLength": 8192, "pattern": _URL, OWN_MESSAGE: _URL_MESSAGE}),
]
Headers = Annotated[
    Mapping[str, str],
    AfterValidator(check_headers),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 100,
            "propertyNames": {"pattern": _NAME, OWN_MESSAGE: _NAME_MESSAGE},
            "additionalProperties": {"type": "string", "pattern": _VALUE, OWN_MESSAGE: _VALUE_MESSAGE},
        }
    ),
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Body = str | dict[str, Any] | list[Any] | None
Status = Annotated[int, Field(ge=200, le=599)]
