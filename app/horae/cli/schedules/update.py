"""`horae schedule update`."""

from __future__ import annotations

from typing import Any, cast

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import beside, console, print_json, word
from horae.cli.params import json_option
from horae.cli.schedules.fires import print_both
from horae.cli.schedules.naming import named
from horae.cli.schedules.options import fields_of, job_of, job_options, rule_options, timing_options
from horae.cli.text import line
from horae.client import Client, ScheduleChanges, ScheduleFields, ScheduleUpdate

_CLEARED = {
    "start-at": "start_at",
    "end-at": "end_at",
    "max-runs": "max_runs",
    "must-succeed-within": "must_succeed_within_seconds",
    "source": "source",
}


@click.command(
    cls=Command,
    examples=[
        "horae schedule update nightly --cron '30 3 * * *'",
        "horae schedule update nightly --queue reports --max-retries 5 --overlap skip",
        "horae schedule update nightly --clear end-at --rename nightly-report",
    ],
)
@click.argument("name")
@timing_options
@click.option("--handler", help="Of the jobs that it makes.")
@job_options
@rule_options
@click.option("--clear", multiple=True, type=click.Choice([*_CLEARED]), help="Take this away; repeatable.")
@click.option("--rename", metavar="NAME", help="Its new name.")
@json_option
def update(name: str, as_json: bool, clear: tuple[str, ...], rename: str | None, **options: Any) -> None:
    """Change what is said of a schedule and leave the rest; print its next fires before and after.

    NAME is its name or its id. A change that somebody else makes in the same moment isn't overwritten: this one is
    refused then.
    """
    fields, job = fields_of(options), job_of(options)
    changes: dict[str, Any] = {**fields, **{_CLEARED[one]: None for one in clear}}
    _check(fields, clear)
    if rename is not None:
        changes["name"] = rename
    if not changes and not job:
        raise click.UsageError("say what to change")
    changed = call(lambda client: _changed(client, name, changes, job))
    if as_json:
        print_json({"schedule": changed.schedule, "next_fires": {"before": changed.before, "after": changed.after}})
    else:
        _print(changed)


def _check(fields: ScheduleFields, clear: tuple[str, ...]) -> None:
    if "cron" in fields and "interval_seconds" in fields:
        raise click.UsageError("give either --cron or --interval")
    if both := [one for one in clear if _CLEARED[one] in fields]:
        raise click.UsageError(f"--{both[0]} and --clear {both[0]} don't go together")


async def _changed(client: Client, name: str, changes: dict[str, Any], job: dict[str, Any]) -> ScheduleUpdate:
    schedule = await named(client, name)
    template = {"job": {**schedule.job, **job}} if job else {}
    return await client.update_schedule(
        schedule.id, schedule.version, **cast("ScheduleChanges", {**changes, **template})
    )


def _print(changed: ScheduleUpdate) -> None:
    out, schedule = console(), changed.schedule
    out.print(beside(word(schedule.name, "bold"), word(f"version {schedule.version}", "dim")))
    out.print(Text(line(schedule.description)))
    print_both(out, changed.before, changed.after, schedule.timezone)
