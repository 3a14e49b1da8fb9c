"""Cursors: where a list goes on. Opaque to clients, and good only for the list and filter that they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from horae.domain.errors import InvalidInput
from horae.domain.ids import is_id

T = TypeVar("T")

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
_DIGEST_BYTES = 8
_LONGEST = 512


def cursor_after(position: str, *scope: Any) -> str:
    """The cursor of a list that goes on after `position`. `scope` is all that tells this list from others."""
    return base64.urlsafe_b64encode(_digest(scope) + position.encode()).decode().rstrip("=")


def position_of(cursor: str, *scope: Any) -> str:
    """The position that a cursor stands for.

    Raises:
        InvalidInput: it came from another list or filter, or from nowhere.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = raw[_DIGEST_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise _foreign() from None
    if len(cursor) > _LONGEST or not position or raw[:_DIGEST_BYTES] != _digest(scope):
        raise _foreign()
    return position


def id_position(cursor: str, *scope: Any) -> str:
    """As `position_of`, of a list in which an id is the position."""
    position = position_of(cursor, *scope)
    if not is_id(position):
        raise _foreign()
    return position


def cut(found: Sequence[T], limit: int, position: Callable[[T], str], *scope: Any) -> tuple[list[T], str | None]:
    """The page, and the cursor of the next one, where `limit` + 1 items were looked for."""
    page = list(found[:limit])
    return page, cursor_after(position(page[-1]), *scope) if len(found) > limit else None


def _foreign() -> InvalidInput:
    return InvalidInput.of("cursor", "is not one that this list gave out for this filter")


def _digest(scope: Sequence[Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(scope), digest_size=_DIGEST_BYTES).digest()


def page_of(
    items: Sequence[T], name: Callable[[T], str], limit: int, cursor: str | None, *scope: Any
) -> tuple[list[T], str | None]:
    """A page of a short list that is ordered by name and at hand as a whole, and the cursor of the next one."""
    after = None if cursor is None else position_of(cursor, *scope)
    return cut([item for item in items if after is None or name(item) > after], limit, name, *scope)
