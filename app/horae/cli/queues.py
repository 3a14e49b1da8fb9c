"""`horae queue …`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import click
from rich.text import Text

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.output import STATES, Column, print_json, show_table, word
from horae.cli.params import json_option
from horae.cli.text import distance
from horae.client import Client, Queue, State
from horae.runtime.clock import SystemClock


@click.command("list", cls=Command, examples=["horae queue list"])
@json_option
def list_queues(as_json: bool) -> None:
    """List queues with the jobs in each that aren't final, and for how long the oldest has been due."""
    queues = call(lambda client: client.queues())
    if as_json:
        print_json({"items": queues})
    else:
        show_table(_columns(), queues, "No queue is known yet.")


@click.command(cls=Command, examples=["horae queue pause mail reports"])
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@json_option
def pause(names: tuple[str, ...], as_json: bool) -> None:
    """Let no job of these queues start in this namespace until they are resumed; what runs goes on."""
    _to_each(names, lambda client: client.pause, "paused", as_json=as_json)


@click.command(cls=Command, examples=["horae queue resume mail"])
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@json_option
def resume(names: tuple[str, ...], as_json: bool) -> None:
    """Let jobs of these queues start again."""
    _to_each(names, lambda client: client.resume, "resumed", as_json=as_json)


def _to_each(
    names: tuple[str, ...], change: Callable[[Client], Callable[[str], Awaitable[None]]], done: str, *, as_json: bool
) -> None:
    async def each(client: Client) -> tuple[Queue, ...]:
        for name in names:
            await change(client)(name)
        return await client.queues()

    queues = [queue for queue in call(each) if queue.name in names]
    if as_json:
        print_json({"items": queues})
    else:
        click.echo("\n".join(f"{name}  {done}" for name in names))


def _columns() -> list[Column[Queue]]:
    now = SystemClock().now()
    return [
        Column("QUEUE", lambda queue: queue.name),
        Column("", lambda queue: word("paused" if queue.paused else "", "yellow")),
        *(_depth(state) for state in (State.PENDING, State.QUEUED, State.RUNNING, State.RETRYING)),
        Column("OLDEST DUE", lambda queue: distance(queue.oldest_due_at, now), needs=80),
        Column("PAUSED BY", _paused_by, needs=120),
    ]


def _paused_by(queue: Queue) -> str:
    since = distance(queue.paused_at, SystemClock().now())
    return f"{queue.paused_by} {since}" if queue.paused and queue.paused_by else since


def _depth(state: State) -> Column[Queue]:
    def number(queue: Queue) -> Text:
        count = queue.depth.get(state, 0)
        return Text(str(count), style=STATES[state] if count else "dim")

    return Column(state, number, right=True)
