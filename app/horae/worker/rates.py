"""Starts per second by queue, as the window wants to know them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from horae.runtime.clock import Clock

SPAN = 1.0
"""seconds over which starts are counted"""
CHANGE = 0.3
"""by how much a rate must have changed to be told before the next renewal"""
SMALL = 10.0


class Rates:
    """Counts starts; a rate is that of the last whole span, fading when nothing starts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._rates: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def started(self, queue: str, count: int = 1) -> None:
        """So many jobs of the queue were started."""
        self._counts[queue] += count

    def current(self) -> Mapping[str, float]:
        """The rates now."""
        now = self._clock.monotonic()
        passed = now - self._since
        if passed >= SPAN:
            self._rates = {queue: round(count / passed, 1) for queue, count in self._counts.items() if count}
            self._counts.clear()
            self._since = now
        return self._rates

    def tell(self) -> Mapping[str, float]:
        """The rates now, remembered as told."""
        self._told = dict(self.current())
        return self._told

    def changed(self) -> bool:
        """Whether a rate differs much from what was told last."""
        current = self.current()
        pairs = ((current.get(q, 0.0), self._told.get(q, 0.0)) for q in current.keys() | self._told.keys())
        return any(abs(new - old) > max(SMALL, CHANGE * max(new, old)) for new, old in pairs)
