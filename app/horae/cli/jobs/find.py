"""`horae job list` and `horae job show`."""

from __future__ import annotations

from typing import Any

import click

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.jobs.details import print_details
from horae.cli.output import Column, print_json, show_table, state_word, word
from horae.cli.paging import first, limit_of, limit_options, tell_of_more
from horae.cli.params import filter_options, json_option, where_of
from horae.cli.schedules.naming import named_or_gone
from horae.cli.situation import situation, starts
from horae.cli.text import distance
from horae.client import Attempt, Client, Job, JobFilter, Page
from horae.runtime.clock import SystemClock

_clock = SystemClock()


@click.command(
    "list",
    cls=Command,
    examples=[
        "horae job list --state FAILED --created-after 2h",
        "horae job list --queue mail --state PENDING --state RETRYING --all --json",
        "horae job list --search 'connection refused'",
        "horae job list --schedule nightly --created-after 7d",
    ],
)
@filter_options
@click.option("--schedule", metavar="NAME", help="Made by this schedule; its name or id.")
@limit_options
@json_option
def list_jobs(as_json: bool, schedule: str | None, **options: Any) -> None:
    """List jobs, newest first."""
    limit, where = limit_of(options), where_of(options)
    page = call(lambda client: _found(client, where, schedule, limit))
    if as_json:
        print_json(page)
        return
    show_table(_columns(), page.items, "No job is found.")
    tell_of_more(page)


async def _found(client: Client, where: JobFilter, schedule: str | None, limit: int | None) -> Page[Job]:
    if schedule is not None:
        found = await named_or_gone(client, schedule)
        where["schedule_id"] = found if isinstance(found, str) else found.id
    return await first(lambda size, cursor: client.list(limit=size, cursor=cursor, **where), limit)


def _columns() -> list[Column[Job]]:
    now = _clock.now()
    return [
        Column("ID", lambda job: word(job.id, "dim")),
        Column("STATE", lambda job: state_word(job.state)),
        Column("HANDLER", lambda job: job.handler),
        Column("QUEUE", lambda job: job.queue, needs=120),
        Column("PRIORITY", lambda job: job.priority, needs=150),
        Column("ATTEMPT", starts, needs=110, right=True),
        Column("CREATED", lambda job: distance(job.created_at, now), needs=80),
        Column("TAGS", lambda job: ", ".join(job.tags), needs=160, words=True),
        Column("", lambda job: word(situation(job, now), "dim"), needs=120, words=True),
    ]


@click.command(
    cls=Command,
    examples=["horae job show 0190b6a5-6c3f-7d4e-8a51-3f0d2c9b7e11", "horae job show ID --json | jq .job.result"],
)
@click.argument("job_id", metavar="ID")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show a job with its attempts, payload, error and result."""

    async def both(client: Client) -> tuple[Job, tuple[Attempt, ...]]:
        return await client.get(job_id), await client.attempts(job_id)

    job, attempts = call(both)
    if as_json:
        print_json({"job": job, "attempts": attempts})
    else:
        print_details(job, attempts, _clock.now())
