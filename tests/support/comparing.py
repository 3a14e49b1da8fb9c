"""The product's fire times beside the oracle's, around the transitions of zones."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import takewhile

from horae.domain.timing import Fold, Gap, Timing
from horae.domain.zones import zone
from tests.support.oracle import MINUTE, SECOND, Reading, Transition, Window, following, matches, transitions

BEGIN, END = datetime(2025, 1, 1), datetime(2029, 1, 1)
POLICIES = [(gap, fold) for gap in Gap for fold in Fold]
AROUND, CLOSE = timedelta(hours=8), timedelta(minutes=3)


@dataclass(frozen=True)
class Place:
    """A zone with its transitions, each amid a window of minutes and, for expressions with seconds, a smaller one."""

    name: str
    transitions: tuple[Transition, ...]

    @cached_property
    def minutes(self) -> list[Window]:
        return [self._window(each.at, AROUND, MINUTE) for each in self.transitions]

    @cached_property
    def seconds(self) -> list[Window]:
        shown_twice = [max(each.before - each.after, timedelta(0)) for each in self.transitions]
        pairs = zip(self.transitions, shown_twice, strict=True)
        return [self._window(each.at, twice + CLOSE, SECOND) for each, twice in pairs]

    def _window(self, at: datetime, around: timedelta, step: timedelta) -> Window:
        return Window(zone(self.name), at - around, at + around, step)


def place(name: str, begin: datetime = BEGIN, end: datetime = END) -> Place:
    return Place(name, tuple(transitions(zone(name), begin, end)))


def different_places(places: Iterable[Place]) -> list[Place]:
    """One zone of all those whose clocks show the same around the transitions; those without any are left out."""
    found: dict[tuple[Transition, ...], Place] = {}
    for each in places:
        if each.transitions:
            found.setdefault(each.transitions, each)
    return list(found.values())


def differences(where: Place, text: str) -> Iterator[str]:
    """Where the product and the oracle disagree on an expression: a line for each window and policy."""
    reading = Reading(text)
    for window in where.seconds if reading.seconds else where.minutes:
        matched = matches(reading, window)
        for gap, fold in POLICIES:
            timing = Timing(cron=text, timezone=where.name, dst_gap=gap, dst_fold=fold)
            if wrong := difference(timing, window, matched.fires(gap, fold)):
                yield f"{where.name} {text!r} gap={gap} fold={fold} from {window.begin}: {wrong}"


def difference(timing: Timing, window: Window, expected: list[datetime]) -> str:
    found = fires_within(timing, window)
    if found != expected:
        return f"found {shortened(found, expected)}, expected {shortened(expected, found)}"
    for at in points(window, f"{timing}"):
        if (after := next_within(timing, window, at)) != following(expected, at):
            return f"next({at}) is {after}"
    return ""


def shortened(these: list[datetime], those: list[datetime]) -> str:
    return f"{len(these)} fire times, alone {sorted(set(these) - set(those))[:3]}"


def fires_within(timing: Timing, window: Window) -> list[datetime]:
    fires = timing.fires((window.begin - SECOND).replace(tzinfo=UTC))
    return list(takewhile(lambda at: at < window.end, (at.replace(tzinfo=None) for at in fires)))


def next_within(timing: Timing, window: Window, at: datetime) -> datetime | None:
    found = timing.next(at.replace(tzinfo=UTC))
    return found.replace(tzinfo=None) if found and found.replace(tzinfo=None) < window.end else None


def points(window: Window, seed: str) -> Iterator[datetime]:
    """Two moments of the window, always the same ones for a seed, of which one is between two seconds."""
    chance = random.Random(seed)
    length = (window.end - window.begin) // window.step
    yield window.begin + chance.randrange(length) * window.step
    yield window.begin + chance.randrange(length) * window.step + timedelta(microseconds=chance.randrange(1_000_000))
