"""The README's tables of fire times at clock changes, made by the product itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise, takewhile
from zoneinfo import ZoneInfo

from horae.domain.timing import Fold, Gap, Timing
from horae.domain.zones import zone
from tests.support.oracle import Transition, transitions

ZONES = ("Europe/Berlin", "America/New_York")
EXPRESSIONS = ("30 2 * * *", "30 1 * * *", "*/15 * * * *", "0 */2 * * *")
YEAR = (datetime(2026, 1, 1), datetime(2027, 1, 1))
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
NONE = "–"


def clock_change_tables() -> str:
    """One table for the clock that goes forward, with a column for each dst_gap, one for the clock that goes back."""
    forward = [*_head("The clock goes forward", "dst_gap", list(Gap)), *_rows(forward=True)]
    back = [*_head("The clock goes back", "dst_fold", list(Fold)), *_rows(forward=False)]
    return "\n".join([*forward, "", *back])


def _head(title: str, policy: str, values: Sequence[str]) -> list[str]:
    first, *others = values
    cells = [title, "expression", f"`{policy}` = `{first}`", *(f"`{value}`" for value in others)]
    return [_row(cells), _row(["---"] * len(cells))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(*, forward: bool) -> Iterator[str]:
    for name in ZONES:
        for change in transitions(zone(name), *YEAR):
            if (change.after > change.before) is forward:
                for number, text in enumerate(EXPRESSIONS):
                    yield _row(
                        ["" if number else _title(name, change), f"`{text}`", *_cells(name, change, text, forward)]
                    )


def _title(name: str, change: Transition) -> str:
    before, after = change.at + change.before, change.at + change.after
    return f"{name}, {before:%Y-%m-%d}, {before:%H:%M} → {after:%H:%M}"


def _cells(name: str, change: Transition, text: str, forward: bool) -> Iterator[str]:
    """A cell for each value of the policy that matters, having seen that the other one doesn't."""
    for value in Gap if forward else Fold:
        pairs = [(value, fold) for fold in Fold] if forward else [(gap, value) for gap in Gap]
        found = {_fires(Timing(cron=text, timezone=name, dst_gap=Gap(g), dst_fold=Fold(f)), change) for g, f in pairs}
        (cell,) = found
        yield cell


def _fires(timing: Timing, change: Transition) -> str:
    """From an hour before the wall times that the change concerns to an hour after them."""
    shift = abs(change.after - change.before)
    begin, end = change.at - HOUR - shift, change.at + HOUR + shift
    if change.after > change.before:
        begin, end = change.at - HOUR, change.at + HOUR
    fires = timing.fires((begin - timedelta(seconds=1)).replace(tzinfo=UTC))
    place = zone(timing.timezone)
    return (
        _shortened([_Reading(at, place) for at in takewhile(lambda at: at.replace(tzinfo=None) <= end, fires)]) or NONE
    )


class _Reading:
    """What the clock shows, with ¹ or ² if it shows that twice."""

    def __init__(self, at: datetime, place: ZoneInfo) -> None:
        local = at.astimezone(place)
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        self.at, self.offset = at, local.utcoffset()
        self.mark = "¹²"[local.fold] if twice else ""
        self.text = f"{local:%H:%M}{self.mark}"


def _shortened(readings: list[_Reading]) -> str:
    """`01:30 01:45 03:00 … 04:00`: more than three quarters of an hour in a row by the first and the last one."""
    words: list[str] = []
    for _, group in groupby(readings, key=lambda reading: (reading.offset, reading.mark)):
        alike = list(group)
        texts = [reading.text for reading in alike]
        dense = all(after.at - before.at == QUARTER for before, after in pairwise(alike))
        words += [texts[0], "…", texts[-1]] if dense and len(texts) > 3 else texts
    return " ".join(words)
