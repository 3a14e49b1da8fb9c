"""`horae schedule preview`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import console, print_json
from horae.cli.params import Moment, json_option
from horae.cli.schedules.fires import print_preview
from horae.cli.schedules.naming import named
from horae.cli.schedules.options import check_rhythm, fields_of, timing_options
from horae.cli.text import line
from horae.client import Client, Preview, ScheduleFields
from horae.runtime.clock import SystemClock


@click.command(
    cls=Command,
    examples=[
        "horae schedule preview nightly --count 3",
        "horae schedule preview --cron '30 2 * * *' --timezone Europe/Berlin --from 2026-10-23T00:00:00Z",
        "horae schedule preview --cron '0 9 * * 5#3' --json | jq '.items[].fire_time'",
    ],
)
@click.argument("name", required=False)
@timing_options
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many fire times.")
@click.option("--from", "begin", type=Moment(1, zoned=True), metavar="TIME", help="From then on; default: after now.")
@json_option
def preview(name: str | None, count: int, begin: datetime | None, as_json: bool, **options: Any) -> None:
    """Show the next fire times, and what clock changes make of them.

    Of a schedule, by its name or id; or of --cron or --interval, which needn't be stored.
    """
    fields = fields_of(options)
    if name is not None and fields:
        raise click.UsageError("give either a NAME, or --cron or --interval")
    if name is None:
        check_rhythm(fields)
    found, timezone = call(lambda client: _previewed(client, name, fields, count, begin))
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(Text(line(found.description)))
    print_preview(out, found, timezone, SystemClock().now())


async def _previewed(
    client: Client, name: str | None, fields: ScheduleFields, count: int, begin: datetime | None
) -> tuple[Preview, str]:
    if name is None:
        return await client.preview(count=count, begin=begin, **fields), fields.get("timezone") or "UTC"
    schedule = await named(client, name)
    return await client.preview_schedule(schedule.id, count=count, begin=begin), schedule.timezone
