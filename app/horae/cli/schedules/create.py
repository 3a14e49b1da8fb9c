"""`horae schedule create`."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import beside, console, print_json, word
from horae.cli.params import json_option
from horae.cli.schedules.fires import SHOWN, print_preview
from horae.cli.schedules.options import check_rhythm, fields_of, job_of, job_options, rule_options, timing_options
from horae.cli.text import line
from horae.client import Client, Preview, Schedule, ScheduleFields
from horae.runtime.clock import SystemClock


@click.command(
    cls=Command,
    examples=[
        "horae schedule create nightly --cron '0 3 * * *' --timezone Europe/Berlin --handler report.make",
        'horae schedule create ping --interval 30 --handler http -p \'{"url": "https://example.com"}\' --overlap skip',
        "horae schedule create payday --cron '0 9 LW * *' --handler pay --misfire skip --must-succeed-within 2h",
    ],
)
@click.argument("name")
@timing_options
@click.option("--handler", required=True, help="Of the jobs that it makes.")
@job_options
@rule_options
@json_option
def create(name: str, as_json: bool, **options: Any) -> None:
    """Create a schedule, and print in words when it fires, and its next fires."""
    fields, job = fields_of(options), job_of(options)
    check_rhythm(fields)
    schedule, preview = call(lambda client: _created(client, name, job, fields))
    if as_json:
        print_json({"schedule": schedule, "preview": preview})
        return
    out = console()
    out.print(beside(word(schedule.name, "bold"), word(schedule.id, "dim")))
    out.print(Text(line(schedule.description)))
    print_preview(out, preview, schedule.timezone, SystemClock().now())


async def _created(client: Client, name: str, job: dict[str, Any], fields: ScheduleFields) -> tuple[Schedule, Preview]:
    schedule = await client.create_schedule(name, job, **fields)
    return schedule, await client.preview_schedule(schedule.id, count=SHOWN)
