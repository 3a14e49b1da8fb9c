"""`horae schedule occurrences` and `horae schedule history`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import Column, print_json, show_table, word
from horae.cli.paging import first, limit_of, limit_options, tell_of_more
from horae.cli.params import Moment, json_option
from horae.cli.schedules.applying.diff import told
from horae.cli.schedules.fires import wall
from horae.cli.schedules.naming import named_or_gone
from horae.cli.schedules.words import verdict_word
from horae.cli.text import as_json as json_text
from horae.cli.text import distance
from horae.client import Client, HistoryEntry, LedgerFilter, Occurrence, Page, Schedule
from horae.runtime.clock import SystemClock

_VERDICTS = click.Choice(["fired", "skipped", "coalesced", "backfilled", "missed"], case_sensitive=False)
_REASONS = click.Choice(["misfire", "overlap", "paused", "bound", "no_success"], case_sensitive=False)


@dataclass(frozen=True, slots=True)
class Known:
    """The schedules of the lines: names and zones by id. One that was deleted shows its id, and times in UTC."""

    schedules: Mapping[str, Schedule]

    def name(self, schedule_id: str) -> str:
        """Its name now."""
        return self.schedules[schedule_id].name if schedule_id in self.schedules else schedule_id

    def zone(self, schedule_id: str) -> str:
        """Its zone now."""
        return self.schedules[schedule_id].timezone if schedule_id in self.schedules else "UTC"


@click.command(
    cls=Command,
    examples=[
        "horae schedule occurrences nightly",
        "horae schedule occurrences --from 30d --state skipped --state coalesced --state missed",
        "horae schedule occurrences nightly --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --all --json",
    ],
)
@click.argument("name", required=False)
@click.option("--state", multiple=True, type=_VERDICTS, help="Repeatable.")
@click.option("--reason", type=_REASONS, help="Why it has no job of its own, or one that is missed.")
@click.option("--from", "begin", type=Moment(-1), metavar="TIME", help="Since then: ISO 8601, or so long ago: 30d.")
@click.option("--to", "end", type=Moment(-1), metavar="TIME", help="Before then.")
@limit_options
@json_option
def occurrences(name: str | None, as_json: bool, **options: Any) -> None:
    """Show what became of each fire time, newest first: of one schedule, by name or id, or of all.

    "What should have run and did not, and why" is --state skipped --state coalesced --state missed.
    """
    limit = limit_of(options)
    where = cast("LedgerFilter", {key: value for key, value in options.items() if value not in (None, ())})
    known, page = call(lambda client: _ledger(client, name, where, limit))
    if as_json:
        print_json(page)
        return
    show_table(_ledger_columns(known, named=name is None), page.items, "No occurrence is found.")
    tell_of_more(page)


async def _ledger(
    client: Client, name: str | None, where: LedgerFilter, limit: int | None
) -> tuple[Known, Page[Occurrence]]:
    schedule_id, known = await _known(client, name)
    page = await first(
        lambda size, cursor: client.list_occurrences(schedule_id, limit=size, cursor=cursor, **where), limit
    )
    return known, page


async def _known(client: Client, name: str | None) -> tuple[str | None, Known]:
    if name is None:
        return None, Known({schedule.id: schedule async for schedule in client.schedules()})
    found = await named_or_gone(client, name)
    return (found, Known({})) if isinstance(found, str) else (found.id, Known({found.id: found}))


def _ledger_columns(known: Known, *, named: bool) -> list[Column[Occurrence]]:
    owner: Column[Occurrence] = Column("SCHEDULE", lambda one: known.name(one.schedule_id))
    return [
        *([owner] if named else []),
        Column("FIRE TIME", lambda one: wall(one.fire_time, known.zone(one.schedule_id))),
        Column("STATE", lambda one: verdict_word(one.state)),
        Column("WHY", lambda one: _why(one, known.zone(one.schedule_id)), words=True),
        Column("JOB", lambda one: word(one.job_id or "", "dim"), needs=100),
    ]


def _why(one: Occurrence, timezone: str) -> Text:
    shared = f"{one.count} of them, until {wall(one.until, timezone)}" if one.until else ""
    into = f"stands in for it: {wall(one.into, timezone)}" if one.into else ""
    said = (one.reason.replace("_", " ") if one.reason else "", one.detail or "", into, shared)
    return word("; ".join(part for part in said if part))


@click.command(cls=Command, examples=["horae schedule history nightly"])
@click.argument("name")
@limit_options
@json_option
def history(name: str, as_json: bool, **options: Any) -> None:
    """Show what was done to a schedule, by whom and when, newest first.

    NAME is its name or its id; the id serves after it was deleted too.
    """
    limit = limit_of(options)

    async def found(client: Client) -> Page[HistoryEntry]:
        schedule = await named_or_gone(client, name)
        id_ = schedule if isinstance(schedule, str) else schedule.id
        return await first(lambda size, cursor: client.list_history(id_, limit=size, cursor=cursor), limit)

    page = call(found)
    if as_json:
        print_json(page)
        return
    show_table(_history_columns(), page.items, "Nothing was done to it.")
    tell_of_more(page)


def _history_columns() -> list[Column[HistoryEntry]]:
    now = SystemClock().now()
    return [
        Column("AT", lambda one: f"{one.at.astimezone():%Y-%m-%d %H:%M:%S %z}"),
        Column("", lambda one: word(distance(one.at, now), "dim"), needs=110),
        Column("WHO", lambda one: one.author),
        Column("DID", lambda one: one.action),
        Column("VERSION", lambda one: str(one.version), needs=100, right=True),
        Column("WHAT", lambda one: _what(one.details), words=True),
    ]


def _what(details: Mapping[str, Any]) -> Text:
    pairs = {
        name: (value[0], value[1]) for name, value in details.items() if isinstance(value, list) and len(value) == 2
    }
    changed = [f"{name}: {_value(old)} → {_value(new)}" for name, old, new in told(pairs)]
    return word("; ".join([*changed, *(f"{name}: {_value(details[name])}" for name in details if name not in pairs)]))


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case str():
            return value
        case _:
            return json_text(value, indent=False)
