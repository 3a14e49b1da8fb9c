"""What commands say of a schedule and of the jobs that it makes, as options and as what the client takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from horae.cli.commands import F
from horae.cli.params import BackoffType, Length, Moment, Payload
from horae.client import ScheduleFields

Options = Sequence[Callable[[F], F]]

_TIMING: Options[Any] = (
    click.option("--cron", metavar="EXPR", help="As in '30 2 * * *', or with seconds in front. Or --interval."),
    click.option("--interval", "interval_seconds", type=Length(), metavar="SECONDS", help="Or 15m, 2h, 1d."),
    click.option("--timezone", metavar="ZONE", help="Whose wall time --cron means, as in Europe/Berlin. Default UTC."),
    click.option(
        "--start-at", type=Moment(1, zoned=True), metavar="TIME", help="No fire before; an interval counts from it."
    ),
    click.option("--end-at", type=Moment(1, zoned=True), metavar="TIME", help="No fire after."),
    click.option(
        "--dst-gap",
        type=click.Choice(["auto", "fire_after", "skip"]),
        help="When clocks go forward over a fire. Default auto.",
    ),
    click.option(
        "--dst-fold",
        type=click.Choice(["auto", "first", "second", "both"]),
        help="When clocks go back and a fire's wall time comes twice. Default auto.",
    ),
)

_RULES: Options[Any] = (
    click.option("--max-runs", type=int, metavar="N", help="It ends after so many fires."),
    click.option(
        "--jitter", "jitter_seconds", type=Length(), metavar="SECONDS", help="Jobs start less than this later."
    ),
    click.option(
        "--misfire",
        type=click.Choice(["skip", "fire_once", "fire_all"]),
        help="What becomes of fires found due too late. Default fire_once.",
    ),
    click.option(
        "--misfire-grace",
        "misfire_grace_seconds",
        type=Length(),
        metavar="SECONDS",
        help="Punctual till then. Default 60.",
    ),
    click.option(
        "--overlap",
        type=click.Choice(["allow", "skip", "replace"]),
        help="When an earlier job isn't final yet. Default allow.",
    ),
    click.option(
        "--must-succeed-within",
        "must_succeed_within_seconds",
        type=Length(),
        metavar="SECONDS",
        help="No SUCCESS so long after a fire is an alarm.",
    ),
)

_JOB: Options[Any] = (
    click.option("-p", "--payload", type=Payload(), metavar="JSON", help="A JSON object, @FILE, or - for stdin."),
    click.option("--queue", help="Default: the handler's, else default."),
    click.option("--priority", type=click.Choice(["critical", "high", "normal", "low"]), help="Default normal."),
    click.option("--max-retries", type=int, metavar="N", help="Failures after which a job is tried again. Default 3."),
    click.option("--backoff", type=BackoffType(), metavar="KIND[:SECONDS[:MAX]]", help="exponential, linear or fixed."),
    click.option("--timeout", "timeout_seconds", type=Length(), metavar="SECONDS", help="Per attempt. Default 300."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Of each job; repeatable."),
    click.option("--retry-for", "retry_for_seconds", type=Length(), metavar="SECONDS", help="No retry after this."),
)

_JOB_SETTINGS = (
    *("handler", "payload", "queue", "priority", "max_retries", "backoff"),
    *("timeout_seconds", "tags", "retry_for_seconds"),
)


def timing_options(command: F) -> F:
    """`--cron` and the others that say when it fires; `fields_of` reads them."""
    return _with(_TIMING, command)


def rule_options(command: F) -> F:
    """`--misfire` and the others that say what becomes of a fire; `fields_of` reads them."""
    return _with(_RULES, command)


def job_options(command: F) -> F:
    """What may be said of the jobs, but for `--handler`; `job_of` reads them."""
    return _with(_JOB, command)


def _with(options: Options[F], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def fields_of(options: dict[str, Any]) -> ScheduleFields:
    """What was said of the schedule; takes it out of `options`."""
    return cast("ScheduleFields", _said(options, ScheduleFields.__optional_keys__))


def job_of(options: dict[str, Any]) -> dict[str, Any]:
    """What was said of the jobs, as the api names it; takes it out of `options`."""
    said = _said(options, _JOB_SETTINGS)
    return {name: list(value) if name == "tags" else value for name, value in said.items()}


def _said(options: dict[str, Any], names: Any) -> dict[str, Any]:
    taken = {name: options.pop(name) for name in list(options) if name in names}
    return {name: value for name, value in taken.items() if value not in (None, ())}


def check_rhythm(fields: ScheduleFields) -> None:
    """Raises UsageError unless exactly one of both rhythms was said."""
    if ("cron" in fields) == ("interval_seconds" in fields):
        raise click.UsageError("give either --cron or --interval")
