"""The types of fields: what clients may write in them, checked by pydantic and described in the OpenAPI document."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, StringConstraints, WithJsonSchema
from pydantic_core import CoreSchema

from horae.domain.ids import is_id
from horae.runtime.config import NAME

T = TypeVar("T")

DAY = 86_400
LONGEST_DELAY = 3650 * DAY
LONGEST_TIMEOUT = 7 * DAY
LONGEST_BACKOFF = 365 * DAY
SHORTEST_TIMEOUT = 0.001
MAX_TAGS = 20
MAX_KEY_BYTES = 255
MAX_TEXT = 200
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class _NotNull:
    """Makes an optional field one that may be left out but not null."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        inner: CoreSchema = schema["schema"]
        return inner


LeftOut = Annotated[T | None, _NotNull()]
"""None only where the field was left out: null is refused."""


def parse_time(value: object) -> datetime:
    """An RFC 3339 time, in UTC.

    Raises:
        ValueError: it isn't one, or lies outside the years 1970 to 2999.
    """
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("should be an RFC 3339 time such as 2026-01-31T09:30:00Z")
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a time that exists") from None
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("should lie between the years 1970 and 2999")
    return moment


def _distinct(tags: list[str]) -> list[str]:
    if len(set(tags)) != len(tags):
        raise ValueError("should not hold a tag twice")
    return tags


def check_key(key: str) -> str:
    """An idempotency key, as it is.

    Raises:
        ValueError: it is empty, too long, or holds control characters.
    """
    if not 0 < len(key.encode(errors="replace")) <= MAX_KEY_BYTES:
        raise ValueError(f"should be 1 to {MAX_KEY_BYTES} bytes long in UTF-8")
    return _printable(key)


def whole(value: object) -> object:
    """JSON knows no difference between 3 and 3.0."""
    return int(value) if type(value) is float and value.is_integer() else value


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("should not hold control characters")
    return text


def _is_uuid(value: str) -> str:
    if not is_id(value):
        raise ValueError("should be a UUID in lower case, with hyphens")
    return value


Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-31T09:30:00Z"]}),
]
Uuid = Annotated[str, AfterValidator(_is_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
PriorityName = Literal["critical", "high", "normal", "low"]
StateName = Literal["PENDING", "QUEUED", "RUNNING", "RETRYING", "SUCCESS", "FAILED", "CANCELLED"]
Tags = Annotated[
    list[Name], Field(max_length=MAX_TAGS, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)
]
Key = Annotated[
    str,
    AfterValidator(check_key),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES, "pattern": r"^[^\u0000-\u001f\u007f]+$"}
    ),
]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)
]
# The bounds before the function: pydantic describes only what stands next to the type.
Retries = Annotated[int, Field(ge=0, le=100), BeforeValidator(whole)]
Count = Annotated[int, Field(ge=0), BeforeValidator(whole)]
Timeout = Annotated[float, Field(ge=SHORTEST_TIMEOUT, le=LONGEST_TIMEOUT)]
Delay = Annotated[float, Field(ge=0, le=LONGEST_DELAY)]
Pause = Annotated[float, Field(ge=0, le=LONGEST_BACKOFF)]


def words(value: object) -> object:
    """`A,B`, or a list of such, as a list of words; anything else stays as it is, to be refused."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return value
    return [word for part in parts for word in part.split(",")]


States = Annotated[list[StateName], Field(min_length=1, max_length=20), BeforeValidator(words)]


def whole_number(text: object) -> object:
    """The number that a query parameter spells; anything else stays as it is, to be refused."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text) else text


def decimal_number(text: object) -> object:
    """As `whole_number`, with a fraction or an exponent."""
    return float(text) if isinstance(text, str) and _DECIMAL.fullmatch(text) else text
