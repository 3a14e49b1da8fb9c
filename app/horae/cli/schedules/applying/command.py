"""`horae schedule apply`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from horae.cli.call import call, describe
from horae.cli.commands import Command
from horae.cli.exits import REFUSED
from horae.cli.output import console, print_json
from horae.cli.params import json_option
from horae.cli.schedules.applying.ahead import Outlook, outlooks
from horae.cli.schedules.applying.carry import Done, carry_out
from horae.cli.schedules.applying.diff import steps
from horae.cli.schedules.applying.files import read_file
from horae.cli.schedules.applying.report import DID, as_members, carried, planned, print_plan
from horae.cli.schedules.applying.wanted import BadFile, Wanted
from horae.cli.text import clean, line
from horae.client import Client

_HELP = """\
Bring schedules in line with a file, as each deploy may do: create, change, and with --prune delete.

It shows each difference, with the next fires before and after. What is as it should be isn't written. If an entry is
wrong, nothing is.

\b
source: reports            # whose schedules these are; default: the file's name
schedules:
  - name: nightly
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    overlap: skip
    job: {handler: report.make, payload: {kind: daily}, queue: reports}

A Python file holds a list of such mappings named schedules. The fields are those of POST /api/v1/schedules.
"""

_INTERRUPTED = "Stopped: what was written stays so. Apply the file again to go on."


@click.command(
    cls=Command,
    help=_HELP,
    examples=[
        "horae schedule apply -f schedules.yaml --plan",
        "horae schedule apply -f schedules.yaml --prune",
        "horae schedule apply -f deploy/schedules.py --json",
    ],
)
@click.option("-f", "--file", "file", required=True, metavar="FILE", help="YAML, or Python if it is a .py; - is stdin.")
@click.option("--plan", is_flag=True, help="Show what would change and write nothing.")
@click.option("--prune", is_flag=True, help="Delete schedules of this file's source that it doesn't hold any more.")
@click.option("--allow-empty", is_flag=True, help="With --prune: a file without schedules deletes all of its source.")
@click.option("--adopt", is_flag=True, help="Take over schedules of the same name made by hand or by another source.")
@json_option
def apply(file: str, plan: bool, prune: bool, allow_empty: bool, adopt: bool, as_json: bool) -> None:
    """Reads, compares, shows, and unless only a plan is asked for writes."""
    try:
        wanted = read_file(file)
    except BadFile as error:
        raise click.UsageError(clean(str(error))) from error
    if prune and not wanted.entries and not allow_empty:
        raise click.UsageError("the file holds no schedule: --prune would delete all of its source (--allow-empty)")
    seen = call(lambda client: _seen(client, wanted, prune=prune, adopt=adopt))
    _check(wanted, seen, plan=plan, as_json=as_json)
    if not as_json:
        print_plan(console(), seen)
    todo = [outlook.step for outlook in seen]
    done = [] if plan else _written(seen, adopt=adopt, as_json=as_json)
    if as_json:
        print_json(as_members(wanted.source, seen, done, only_planned=plan))
    else:
        click.echo(carried(todo, done) if done else planned(todo))
    if any(one.problem is not None for one in done):
        raise click.exceptions.Exit(REFUSED)


async def _seen(client: Client, wanted: Wanted, *, prune: bool, adopt: bool) -> list[Outlook]:
    stored = [schedule async for schedule in client.schedules()]
    return await outlooks(client, steps(wanted, stored, prune=prune, adopt=adopt))


def _check(wanted: Wanted, seen: Sequence[Outlook], *, plan: bool, as_json: bool) -> None:
    """Ends here, before anything is written, if an entry is wrong."""
    problems = [problem for outlook in seen for problem in outlook.problems]
    if not problems:
        return
    if as_json:
        print_json(as_members(wanted.source, seen, (), only_planned=plan))
    for problem in problems:
        click.echo(line(problem), err=True)
    click.echo("Nothing was written.", err=True)
    raise click.exceptions.Exit(REFUSED)


def _written(seen: Sequence[Outlook], *, adopt: bool, as_json: bool) -> list[Done]:
    if not any(outlook.step.writes for outlook in seen):
        return []
    show = None if as_json else _show
    return call(lambda client: _carried(client, seen, show, adopt=adopt), interrupted=_INTERRUPTED)


async def _carried(
    client: Client, seen: Sequence[Outlook], show: Callable[[Done], None] | None, *, adopt: bool
) -> list[Done]:
    carried_out: list[Done] = []
    async for done in carry_out(client, [outlook.step for outlook in seen], adopt=adopt):
        carried_out.append(done)
        if show is not None:
            show(done)
    return carried_out


def _show(done: Done) -> None:
    """One line as soon as it is done: what follows may fail."""
    if done.problem is None:
        click.echo(f"{line(done.step.name)}  {DID[done.step.action]}")
    else:
        click.echo(f"{line(done.step.name)}  {describe(done.problem)}", err=True)
