"""`horae job submit`."""

from __future__ import annotations

from typing import Any, cast

import click

from horae.cli.call import call
from horae.cli.commands import Command
from horae.cli.follow import end, follow, follow_hint
from horae.cli.output import print_json
from horae.cli.params import BackoffType, Moment, Payload, json_option
from horae.client import Client, Job, JobFields

_PRIORITIES = click.Choice(["critical", "high", "normal", "low"])


@click.command(
    cls=Command,
    examples=[
        'horae job submit echo --payload \'{"hello": "world"}\' --wait',
        "horae job submit invoice.send -p @invoice.json --queue mail --at 2030-01-31T08:00:00Z",
        'horae job submit http -p \'{"url": "https://example.com"}\' --backoff fixed:5 --max-retries 10',
        "id=$(horae job submit sleep -p '{\"seconds\": 10}' --delay 60)",
    ],
)
@click.argument("handler")
@click.option("-p", "--payload", type=Payload(), metavar="JSON", help="A JSON object, @FILE, or - for stdin.")
@click.option("--queue", help="Default: the handler's, else default.")
@click.option("--priority", type=_PRIORITIES, help="Default: the handler's, else normal.")
@click.option("--at", "run_at", type=Moment(1), metavar="TIME", help="Not before: ISO 8601, or so long from now: 15m.")
@click.option("--delay", type=float, metavar="SECONDS", help="Not before so long after now.")
@click.option("--max-retries", type=int, metavar="N", help="Failures after which it is tried again. Default 3.")
@click.option("--backoff", type=BackoffType(), metavar="KIND[:SECONDS[:MAX]]", help="exponential, linear or fixed.")
@click.option("--timeout", type=float, metavar="SECONDS", help="For each attempt. Default 300.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Repeatable.")
@click.option("--expires-at", type=Moment(1), metavar="TIME", help="FAILED if it hasn't started by then.")
@click.option("--retry-for", type=float, metavar="SECONDS", help="No attempt starts later than this after the first.")
@click.option("--idempotency-key", metavar="KEY", help="Submitted again with the same key, it is the same job.")
@click.option("--wait", is_flag=True, help="Follow it; exit 0 on SUCCESS, 1 otherwise.")
@json_option
def submit(handler: str, payload: dict[str, Any] | None, wait: bool, as_json: bool, **options: Any) -> None:
    """Submit a job for HANDLER and print its id."""
    if options["run_at"] and options["delay"] is not None:
        raise click.UsageError("--at and --delay don't go together")
    fields = cast("JobFields", {name: value for name, value in options.items() if value not in (None, ())})
    job = call(lambda client: _submitted(client, handler, payload, fields))
    if not wait:
        print_json(job) if as_json else click.echo(job.id)
        return
    _follow(job, as_json=as_json)


async def _submitted(client: Client, handler: str, payload: dict[str, Any] | None, fields: JobFields) -> Job:
    return await client.submit(handler, payload, **fields)


def _follow(job: Job, *, as_json: bool) -> None:
    if not as_json:
        click.echo(job.id)
    end(call(lambda _client: follow(job, as_lines_of_json=as_json), interrupted=follow_hint(job.id)))
