"""`horae worker list`."""

from __future__ import annotations

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import Column, print_json, show_table, word
from horae.cli.params import json_option
from horae.cli.text import distance
from horae.client import Worker
from horae.runtime.clock import SystemClock

_STYLES = {"ALIVE": "green", "DRAINING": "yellow", "DEAD": "red"}


@click.command("list", cls=Command, examples=["horae worker list"])
@json_option
def list_workers(as_json: bool) -> None:
    """List workers: the live ones and, for an hour, those that are gone."""
    workers = call(lambda client: client.workers())
    if as_json:
        print_json({"items": workers})
    else:
        show_table(_columns(), workers, "No worker has reported yet: start one with `horae serve --role worker`.")


def _columns() -> list[Column[Worker]]:
    now = SystemClock().now()
    return [
        Column("WORKER", lambda worker: worker.name),
        Column("STATE", _state),
        Column("BUSY", lambda worker: f"{worker.running}/{worker.slots}", right=True),
        Column("STARTS/S", lambda worker: f"{sum(worker.rates.values()):.1f}", needs=90, right=True),
        Column("QUEUES", lambda worker: ", ".join(worker.queues) or "every", words=True),
        Column("STARTED", lambda worker: distance(worker.started_at, now), needs=80),
        Column("HEALTH", lambda worker: str(worker.health_port or ""), needs=100, right=True),
        Column("VERSION", lambda worker: worker.version, needs=100),
        Column("ID", lambda worker: word(worker.id, "dim"), needs=140),
    ]


def _state(worker: Worker) -> Text:
    return word(worker.state, _STYLES.get(worker.state, ""))
