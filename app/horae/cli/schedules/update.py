"""`horae schedule update`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import click
from rich.console import RenderableType
from rich.text import Text

from horae.cli import text
from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.follow import line_grid
from horae.cli.output import beside, console, print_json, word
from horae.cli.params import json_option
from horae.cli.schedules.applying.diff import FIELDS, told
from horae.cli.schedules.fires import print_both, print_warnings, section
from horae.cli.schedules.naming import named
from horae.cli.schedules.options import fields_of, job_of, job_options, rule_options, timing_options
from horae.cli.text import line
from horae.client import Client, Schedule, ScheduleChanges, ScheduleUpdate

_CLEARED = {
    "start-at": "start_at",
    "end-at": "end_at",
    "max-runs": "max_runs",
    "must-succeed-within": "must_succeed_within_seconds",
    "source": "source",
}
_CLEARED_OF_JOB = {
    "queue": "queue",
    "priority": "priority",
    "max-retries": "max_retries",
    "backoff": "backoff",
    "timeout": "timeout_seconds",
    "tag": "tags",
    "retry-for": "retry_for_seconds",
}
"""whose place the handler's default takes"""


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
@click.option(
    "--clear", multiple=True, type=click.Choice([*_CLEARED, *_CLEARED_OF_JOB]), help="Take this away; repeatable."
)
@click.option("--rename", metavar="NAME", help="Its new name.")
@json_option
def update(name: str, as_json: bool, clear: tuple[str, ...], rename: str | None, **options: Any) -> None:
    """Change what is said of a schedule and leave the rest; print its next fires before and after.

    NAME is its name or its id. A change that somebody else makes in the same moment isn't overwritten: this one is
    refused then.
    """
    fields, job = fields_of(options), job_of(options)
    changes: dict[str, Any] = {**fields, **{_CLEARED[one]: None for one in clear if one in _CLEARED}}
    gone = frozenset(_CLEARED_OF_JOB[one] for one in clear if one in _CLEARED_OF_JOB)
    _check({**fields, **job}, clear)
    if rename is not None:
        changes["name"] = rename
    if not changes and not job and not gone:
        raise click.UsageError("say what to change")
    made = call(lambda client: _changed(client, name, changes, job, gone))
    changed = made.update
    if as_json:
        print_json({"schedule": changed.schedule, "next_fires": {"before": changed.before, "after": changed.after}})
    else:
        _print(made)


@dataclass(frozen=True, slots=True)
class _Changed:
    before: Schedule
    update: ScheduleUpdate
    warnings: tuple[str, ...]


def _check(said: Mapping[str, Any], clear: tuple[str, ...]) -> None:
    if "cron" in said and "interval_seconds" in said:
        raise click.UsageError("give either --cron or --interval")
    if both := [one for one in clear if (_CLEARED | _CLEARED_OF_JOB)[one] in said]:
        raise click.UsageError(f"--{both[0]} and --clear {both[0]} don't go together")


async def _changed(
    client: Client, name: str, changes: dict[str, Any], job: dict[str, Any], gone: frozenset[str]
) -> _Changed:
    before = await named(client, name)
    left = {setting: value for setting, value in before.job.items() if setting not in gone}
    template = {"job": {**left, **job}} if job or gone else {}
    update = await client.update_schedule(before.id, before.version, **cast("ScheduleChanges", {**changes, **template}))
    foreseen = await client.preview_schedule(before.id, count=1)
    return _Changed(before, update, tuple(foreseen.warnings))


def _print(made: _Changed) -> None:
    out, changed, schedule = console(), made.update, made.update.schedule
    out.print(beside(word(schedule.name, "bold"), word(f"version {schedule.version}", "dim")))
    out.print(Text(line(schedule.description)))
    section(out, "Changed", _differences(made.before, schedule))
    if [fire.fire_time for fire in changed.before] != [fire.fire_time for fire in changed.after]:
        print_both(out, changed.before, changed.after, schedule.timezone)
    print_warnings(out, made.warnings)


def _differences(before: Schedule, after: Schedule) -> RenderableType:
    """Each field that is otherwise, those of the job by their own names."""
    grid = line_grid(columns=2)
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in FIELDS}
    for name, old, new in told({name: pair for name, pair in pairs.items() if pair[0] != pair[1]}):
        grid.add_row(word(name, "dim"), word(f"{_said(old)} → {_said(new)}"))
    return grid if grid.row_count else word("nothing: it is as it was", "dim")


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return line(value if isinstance(value, str) else text.as_json(value, indent=False))
