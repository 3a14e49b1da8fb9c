"""`horae schedule list` and `horae schedule show`."""

from __future__ import annotations

from typing import Any, cast

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import Column, print_json, show_table, word
from horae.cli.paging import first, limit_of, limit_options, tell_of_more
from horae.cli.params import json_option
from horae.cli.schedules.details import print_details
from horae.cli.schedules.fires import SHOWN, wall
from horae.cli.schedules.naming import named
from horae.cli.schedules.words import rhythm, state_word
from horae.cli.text import distance
from horae.client import Client, Page, Preview, Schedule, ScheduleFilter
from horae.runtime.clock import SystemClock

_STATES = click.Choice(["ACTIVE", "PAUSED", "ENDED"], case_sensitive=False)


@click.command(
    "list",
    cls=Command,
    examples=["horae schedule list", "horae schedule list --state PAUSED --state ENDED --json"],
)
@click.option("--state", multiple=True, type=_STATES, help="Repeatable.")
@click.option("--handler", help="Whose jobs have this handler.")
@click.option("--source", help="Applied from the file of this name.")
@click.option("--search", "q", help="The start of a name.")
@limit_options
@json_option
def list_schedules(as_json: bool, **options: Any) -> None:
    """List schedules by name."""
    limit = limit_of(options)
    where = cast("ScheduleFilter", {name: value for name, value in options.items() if value not in (None, ())})
    page = call(lambda client: _found(client, where, limit))
    if as_json:
        print_json(page)
        return
    nothing = "No schedule is found." if where else "There is no schedule yet: see horae schedule create --help."
    show_table(_columns(), page.items, nothing)
    tell_of_more(page, "first")


async def _found(client: Client, where: ScheduleFilter, limit: int | None) -> Page[Schedule]:
    return await first(lambda size, cursor: client.list_schedules(limit=size, cursor=cursor, **where), limit)


def _columns() -> list[Column[Schedule]]:
    now = SystemClock().now()
    return [
        Column("NAME", lambda one: one.name),
        Column("STATE", state_word),
        Column("FIRES", rhythm),
        Column("ZONE", lambda one: "" if one.cron is None else one.timezone, needs=120),
        Column("NEXT", lambda one: distance(one.next_fire_at, now)),
        Column("AT", lambda one: word(wall(one.next_fire_at, one.timezone), "dim"), needs=150),
        Column("LAST", lambda one: distance(one.last_fire_at, now), needs=100),
        Column("RUNS", _runs, needs=100, right=True),
        Column("HANDLER", lambda one: one.handler, needs=90),
        Column("SOURCE", lambda one: one.source or "", needs=170),
        Column("", lambda one: word(one.ended_reason or "", "dim"), needs=120, words=True),
    ]


def _runs(schedule: Schedule) -> Text:
    return word(str(schedule.runs) if schedule.max_runs is None else f"{schedule.runs}/{schedule.max_runs}")


@click.command(cls=Command, examples=["horae schedule show nightly", "horae schedule show nightly --json"])
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a schedule: what it means in words, its rules, its job and its next fires.

    NAME is its name or its id.
    """

    async def both(client: Client) -> tuple[Schedule, Preview]:
        schedule = await named(client, name)
        return schedule, await client.preview_schedule(schedule.id, count=SHOWN)

    schedule, preview = call(both)
    if as_json:
        print_json({"schedule": schedule, "preview": preview})
    else:
        print_details(schedule, preview, SystemClock().now())
