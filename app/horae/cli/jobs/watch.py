"""`horae job watch`."""

from __future__ import annotations

import click

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.follow import end, follow, follow_hint
from horae.cli.params import json_option
from horae.client import Client, Job


@click.command(cls=Command, examples=["horae job watch 0190b6a5-6c3f-7d4e-8a51-3f0d2c9b7e11"])
@click.argument("job_id", metavar="ID")
@json_option
def watch(job_id: str, as_json: bool) -> None:
    """Follow a job until it is final; exit 0 on SUCCESS, 1 otherwise.

    Ctrl-C stops following; the job goes on. With --json it prints the job after each change, one a line.
    """

    async def work(client: Client) -> Job:
        # A wrong id and an absent api are told at once; only what follows is patient.
        return await follow(await client.get(job_id), as_lines_of_json=as_json)

    end(call(work, interrupted=follow_hint(job_id)))
