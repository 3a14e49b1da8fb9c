"""When a duty looks by itself: hints may be lost, and what another scheduler has locked is soon free."""

from __future__ import annotations

from horae.signals.base import Signals

SAFETY_POLL = 5.0
"""seconds between two looks when hints arrive, and a fifth of that when they may be lost"""


def safety_poll(signals: Signals) -> float:
    """Seconds until the next look if nothing is known to come before."""
    return SAFETY_POLL if signals.reliable else SAFETY_POLL / 5


class Look:
    """A pause that doubles from the shortest to the longest while there is nothing to be had."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._pause = shortest

    def next(self) -> float:
        """Seconds until the next look."""
        pause, self._pause = self._pause, min(self._pause * 2, self._longest)
        return pause

    def reset(self) -> None:
        """Something was to be had: the next pause is the shortest again."""
        self._pause = self._shortest
