"""One schedule with everything that is known of it, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from horae.cli.output import beside, console, word
from horae.cli.schedules.fires import print_preview, section, wall
from horae.cli.schedules.words import rhythm, state_word
from horae.cli.text import as_json, distance, length, line
from horae.client import Preview, Schedule

Row = tuple[str, RenderableType]


def print_details(schedule: Schedule, preview: Preview, now: datetime) -> None:
    """Prints it to stdout."""
    out = console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for title, value in _rows(schedule, now):
        grid.add_row(title, value)
    out.print(grid)
    if schedule.job.get("payload"):
        section(out, "Payload", Text(as_json(schedule.job["payload"])))
    print_preview(out, preview, schedule.timezone, now)


def _rows(schedule: Schedule, now: datetime) -> Iterator[Row]:
    yield "Schedule", beside(word(schedule.name), word(schedule.id, "dim"))
    yield "State", beside(state_word(schedule), word(_standing(schedule, now), "dim"))
    yield "Fires", beside(word(rhythm(schedule)), word(schedule.timezone if schedule.cron else "", "dim"))
    yield "", Text(line(schedule.description))
    yield from _times(schedule, now)
    yield "Rules", Text(line(_rules(schedule)))
    yield "Job", Text(line(_job(schedule.job)))
    yield "Runs", word(f"{schedule.runs}{'' if schedule.max_runs is None else f' of {schedule.max_runs}'}")
    if schedule.source:
        yield "Source", word(schedule.source)
    yield "Namespace", word(f"{schedule.namespace}, version {schedule.version}, time zone data {schedule.tzdata}")


def _standing(schedule: Schedule, now: datetime) -> str:
    if schedule.ended_reason:
        return schedule.ended_reason
    if schedule.paused_at is None:
        return ""
    return f"{distance(schedule.paused_at, now)}{f' by {schedule.paused_by}' if schedule.paused_by else ''}"


def _times(schedule: Schedule, now: datetime) -> Iterator[Row]:
    named = (
        ("Next", schedule.next_fire_at),
        ("Last", schedule.last_fire_at),
        ("Starts", schedule.start_at),
        ("Ends", schedule.end_at),
        ("Created", schedule.created_at),
        ("Changed", schedule.updated_at if schedule.updated_at != schedule.created_at else None),
    )
    for title, moment in named:
        if moment is not None:
            yield title, word(f"{wall(moment, schedule.timezone)}  ({distance(moment, now)})")


def _rules(schedule: Schedule) -> str:
    said = [
        f"misfire {schedule.misfire} after {length(schedule.misfire_grace_seconds)}",
        f"overlap {schedule.overlap}",
        f"dst gap {schedule.dst_gap}, fold {schedule.dst_fold}" if schedule.cron else "",
        f"jitter below {length(schedule.jitter_seconds)}" if schedule.jitter_seconds else "",
        f"must succeed within {length(schedule.must_succeed_within_seconds)}"
        if schedule.must_succeed_within_seconds
        else "",
    ]
    return ", ".join(one for one in said if one)


def _job(job: Any) -> str:
    settings = [f"{name} {_value(value)}" for name, value in job.items() if name not in ("handler", "payload")]
    return ", ".join([str(job.get("handler", "")), *settings])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value, indent=False)
