"""Job ids: UUIDv7 (RFC 9562), so that the primary key's order is the order of submission."""

from __future__ import annotations

import os
from typing import NewType
from uuid import UUID

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)

_RANDOM_BITS = 74
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1


class IdMaker:
    """Makes UUIDv7s that rise strictly within one process (RFC 9562, section 6.2, method 2)."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, unix_ms: int) -> str:
        """The next id, in canonical form, for a moment in milliseconds since the epoch."""
        fresh = (unix_ms << _RANDOM_BITS) | (int.from_bytes(os.urandom(10), "big") & _RANDOM_MASK)
        # Within a millisecond, or when the clock goes back, count on from the last id.
        if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
            fresh = self._last + 1 + int.from_bytes(os.urandom(4), "big")
        self._last = fresh
        return format_uuid7(fresh)


def format_uuid7(value: int) -> str:
    """122 free bits (48 of time, 74 of randomness) as a UUID of version 7."""
    time, tail = value >> _RANDOM_BITS, value & _RANDOM_MASK
    high = (time << 16) | 0x7000 | (tail >> 62)
    text = f"{(high << 64) | (1 << 63) | (tail & ((1 << 62) - 1)):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether the text is a UUID in canonical lower-case form."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
