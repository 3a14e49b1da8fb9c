"""`horae schedule backfill …`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.exits import REFUSED
from horae.cli.follow import PATIENT
from horae.cli.output import Column, console, print_json, show_table, word
from horae.cli.paging import first, limit_of, limit_options, tell_of_more
from horae.cli.params import Moment, json_option
from horae.cli.schedules.fires import wall
from horae.cli.schedules.naming import named
from horae.cli.schedules.words import backfill_word
from horae.cli.text import distance, line
from horae.client import Backfill, Client, Page, Schedule
from horae.runtime.clock import SystemClock

_LOOK_SECONDS = 0.5


@click.command(
    cls=Command,
    examples=[
        "horae schedule backfill start nightly --from 7d --to 1d --wait",
        "horae schedule backfill start hourly --from 2026-01-01T00:00:00Z --to 2026-01-31T23:59:59Z --max-concurrent 5",
    ],
)
@click.argument("name")
@click.option("--from", "begin", type=Moment(-1), required=True, metavar="TIME", help="ISO 8601, or so long ago: 7d.")
@click.option("--to", "end", type=Moment(-1), required=True, metavar="TIME", help="The same; both count.")
@click.option("--max-concurrent", type=click.IntRange(1, 100), default=1, show_default=True, help="Jobs at a time.")
@click.option("--wait", is_flag=True, help="Follow it to its end; exit 0 if all of its jobs succeeded, 1 otherwise.")
@json_option
def start(name: str, begin: datetime, end: datetime, max_concurrent: int, wait: bool, as_json: bool) -> None:
    """Make the jobs of a past range that have none, oldest first, and print the backfill's id.

    Fire times that have a job are left alone. NAME is the schedule's name or its id.
    """

    async def work(client: Client) -> Backfill:
        schedule = await named(client, name)
        return await client.backfill(schedule.id, begin, end, max_concurrent=max_concurrent)

    backfill = call(work)
    if not (wait and as_json):
        print_json(_shown(backfill)) if as_json else click.echo(backfill.id)
    if wait:
        _end(_followed(backfill, name), as_json=as_json)


def _followed(backfill: Backfill, name: str) -> Backfill:
    goes_on = line(f"The backfill goes on. See it again with: horae schedule backfill list {name}")
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("Backfill", total=None, said="")

        def show(seen: Backfill) -> None:
            bar.update(task, total=seen.total, completed=_ended(seen), said=_standing(seen))

        return call(lambda _client: _to_its_end(backfill, show), interrupted=goes_on)


async def _to_its_end(backfill: Backfill, show: Callable[[Backfill], None]) -> Backfill:
    async with Client(retries=PATIENT) as client:
        while backfill.is_running:
            show(backfill)
            await asyncio.sleep(_LOOK_SECONDS)
            backfill = await client.get_backfill(backfill.schedule_id, backfill.id)
    return backfill


def _end(backfill: Backfill, *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(backfill))
    else:
        click.echo(f"{backfill.state}  {_standing(backfill)}")
    if backfill.state != "DONE" or backfill.failed:
        raise click.exceptions.Exit(REFUSED)


@click.command("list", cls=Command, examples=["horae schedule backfill list nightly"])
@click.argument("name")
@limit_options
@json_option
def list_backfills(name: str, as_json: bool, **options: Any) -> None:
    """List the backfills of a schedule, newest first.

    NAME is the schedule's name or its id.
    """
    limit = limit_of(options)

    async def found(client: Client) -> tuple[Schedule, Page[Backfill]]:
        schedule = await named(client, name)
        return schedule, await first(
            lambda size, cursor: client.list_backfills(schedule.id, limit=size, cursor=cursor), limit
        )

    schedule, page = call(found)
    if as_json:
        print_json({"items": [_shown(one) for one in page.items], "next_cursor": page.next_cursor})
        return
    show_table(_columns(schedule.timezone), page.items, "It was never backfilled.")
    tell_of_more(page)


@click.command(cls=Command, examples=["horae schedule backfill cancel nightly 0190b6a5-6c3f-7d4e-8a51-3f0d2c9b7e11"])
@click.argument("name")
@click.argument("backfill_id", metavar="ID")
@json_option
def cancel(name: str, backfill_id: str, as_json: bool) -> None:
    """Cancel a backfill: no further job is made, and those that aren't final are cancelled.

    NAME is the schedule's name or its id.
    """

    async def work(client: Client) -> Backfill:
        return await client.cancel_backfill((await named(client, name)).id, backfill_id)

    backfill = call(work)
    if as_json:
        print_json(_shown(backfill))
    else:
        click.echo(f"{backfill.id}  {backfill.state}, {_standing(backfill)}")


def _columns(timezone: str) -> list[Column[Backfill]]:
    now = SystemClock().now()
    return [
        Column("ID", lambda one: word(one.id, "dim")),
        Column("STATE", lambda one: backfill_word(one.state)),
        Column("FROM", lambda one: wall(one.begin, timezone), needs=130),
        Column("TO", lambda one: wall(one.end, timezone), needs=130),
        Column("", _standing, words=True),
        Column("WHO", lambda one: one.author, needs=150),
        Column("STARTED", lambda one: distance(one.created_at, now), needs=90),
    ]


def _ended(backfill: Backfill) -> int:
    return backfill.kept + backfill.succeeded + backfill.failed


def _standing(backfill: Backfill) -> str:
    said = {
        "succeeded": backfill.succeeded,
        "failed": backfill.failed,
        "running": backfill.running,
        "had a job": backfill.kept,
    }
    counts = [f"{count} {name}" for name, count in said.items() if count]
    return ", ".join([f"{backfill.total} fire times", *counts])


def _shown(backfill: Backfill) -> dict[str, Any]:
    """As the api shows it."""
    members = dataclasses.asdict(backfill)
    return {"from": members.pop("begin"), "to": members.pop("end"), **members}
