"""`horae schedule pause`, `resume`, `trigger` and `delete`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import click

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.follow import end, follow, follow_hint
from horae.cli.output import print_json
from horae.cli.params import json_option
from horae.cli.schedules.fires import wall
from horae.cli.schedules.naming import named
from horae.cli.text import line
from horae.client import Client, Job, NotFound, Schedule

_names = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.command(cls=Command, examples=["horae schedule pause nightly"])
@_names
@json_option
def pause(names: tuple[str, ...], as_json: bool) -> None:
    """Let fire times go by until they are resumed; each is written down as skipped, and none is made up for.

    NAME is a name or an id.
    """
    _print(call(lambda client: _each(client, names, client.pause_schedule)), as_json=as_json)


@click.command(cls=Command, examples=["horae schedule resume nightly"])
@_names
@json_option
def resume(names: tuple[str, ...], as_json: bool) -> None:
    """Let paused schedules fire again, from now on.

    NAME is a name or an id.
    """
    _print(call(lambda client: _each(client, names, client.resume_schedule)), as_json=as_json)


@click.command(cls=Command, examples=["horae schedule trigger nightly --wait"])
@click.argument("name")
@click.option("--wait", is_flag=True, help="Follow the job; exit 0 on SUCCESS, 1 otherwise.")
@json_option
def trigger(name: str, wait: bool, as_json: bool) -> None:
    """Make a job of a schedule now and print its id; the schedule itself goes on as before.

    It works in every state, and isn't counted as a run. NAME is a name or an id.
    """

    async def work(client: Client) -> Job:
        return await client.trigger_schedule((await named(client, name)).id)

    job = call(work)
    if not wait:
        print_json(job) if as_json else click.echo(job.id)
        return
    if not as_json:
        click.echo(job.id)
    end(call(lambda _client: follow(job, as_lines_of_json=as_json), interrupted=follow_hint(job.id)))


@click.command(cls=Command, examples=["horae schedule delete nightly", "horae schedule delete nightly hourly --yes"])
@_names
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@json_option
def delete(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete schedules and cancel what backfills of them run; their jobs, ledger and history stay.

    NAME is a name or an id.
    """
    found = call(lambda client: _found(client, names))
    if not yes:
        listed = line(", ".join(schedule.name for schedule in found))
        click.confirm(f"Delete {_schedules(len(found))} ({listed})?", abort=True, err=True)
    call(lambda client: _deleted(client, found))
    if as_json:
        print_json({"deleted": [{"id": schedule.id, "name": schedule.name} for schedule in found]})
    else:
        click.echo("\n".join(f"{line(schedule.name)}  deleted" for schedule in found))


async def _each(client: Client, names: Sequence[str], change: Callable[[str], Awaitable[Schedule]]) -> list[Schedule]:
    return [await change(schedule.id) for schedule in await _found(client, names)]


async def _found(client: Client, names: Sequence[str]) -> list[Schedule]:
    """All of them, before anything is done to one: a name that isn't known changes nothing."""
    return [await named(client, name) for name in names]


async def _deleted(client: Client, schedules: Sequence[Schedule]) -> None:
    for schedule in schedules:
        with suppress(NotFound):  # it was there a moment ago
            await client.delete_schedule(schedule.id)


def _print(schedules: Sequence[Schedule], *, as_json: bool) -> None:
    if as_json:
        print_json({"items": schedules})
        return
    for schedule in schedules:
        fires = wall(schedule.next_fire_at, schedule.timezone)
        click.echo(f"{line(schedule.name)}  {schedule.state}{f', next fire {fires}' if fires else ''}")


def _schedules(count: int) -> str:
    return f"{count} schedule" if count == 1 else f"{count} schedules"
