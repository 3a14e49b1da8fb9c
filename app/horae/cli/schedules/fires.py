"""Fire times for a terminal, by the clock of the schedule's zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from horae.cli.follow import line_grid
from horae.cli.output import word
from horae.cli.text import distance, line
from horae.client import Fire, Preview
from horae.domain.zones import UnknownZone, zone

SHOWN = 5
"""fire times beside a schedule"""


def wall(moment: datetime | None, timezone: str) -> str:
    """What the zone's clock shows, with its offset; UTC for a zone that this release doesn't know; empty for None."""
    if moment is None:
        return ""
    try:
        return shown(moment.astimezone(zone(timezone)))
    except UnknownZone:
        return shown(moment.astimezone(UTC))


def shown(local: datetime) -> str:
    """A time on a clock: `Sun 2026-03-29 03:00:00 +0200`."""
    return f"{local:%a %Y-%m-%d %H:%M:%S %z}"


def print_preview(out: Console, preview: Preview, timezone: str, now: datetime) -> None:
    """The fire times with what is to be said of each, those that are dropped, and the warnings."""
    section(out, f"Next fires ({timezone})", _next(preview.items, now))
    if preview.dropped:
        section(out, "Dropped", _lines([(shown(one.local_time), one.note) for one in preview.dropped]))
    print_warnings(out, preview.warnings)


def print_warnings(out: Console, warnings: Sequence[str]) -> None:
    """What its author may not expect."""
    if warnings:
        section(out, "Warnings", Text("\n").join(Text(line(one), style="yellow") for one in warnings))


def print_both(out: Console, before: Sequence[Fire], after: Sequence[Fire], timezone: str) -> None:
    """The next fires as they were and as they are."""
    section(out, f"Next fires ({timezone})", side_by_side(before, after))


def side_by_side(before: Sequence[Fire], after: Sequence[Fire]) -> RenderableType:
    """Two columns; what is in one of them only is marked."""
    grid = line_grid(columns=2)
    grid.add_row(Text("before", style="dim"), Text("after", style="dim"))
    old, new = ({fire.fire_time for fire in fires} for fires in (before, after))
    for left, right in zip_longest(before, after):
        grid.add_row(_beside(left, new, "red"), _beside(right, old, "green"))
    if not before and not after:
        grid.add_row(word("none", "dim"), word("none", "dim"))
    return grid


def _beside(fire: Fire | None, others: set[datetime], style: str) -> Text:
    if fire is None:
        return Text("")
    return word(shown(fire.local_time), "" if fire.fire_time in others else style)


def section(out: Console, title: str, content: RenderableType) -> None:
    """A title with something below it."""
    out.print()
    out.print(word(title, "bold"))
    out.print(Padding(content, (0, 0, 0, 2), expand=False))


def _next(fires: Sequence[Fire], now: datetime) -> RenderableType:
    if not fires:
        return word("none: no fire time is left within its bounds", "yellow")
    grid = line_grid(columns=3)
    for fire in fires:
        grid.add_row(
            word(shown(fire.local_time)), word(distance(fire.fire_time, now), "dim"), word(fire.note or "", "yellow")
        )
    return grid


def _lines(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    grid = line_grid(columns=2)
    for left, right in pairs:
        grid.add_row(word(left), word(right, "yellow"))
    return grid
