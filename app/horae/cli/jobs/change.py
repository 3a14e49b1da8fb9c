"""`horae job cancel` and `horae job retry`: of ids, or of all that a filter finds, counted and confirmed first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Unpack

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from horae.cli.call import call, describe
from horae.cli.commands import Command, F
from horae.cli.exits import REFUSED
from horae.cli.output import console, print_json
from horae.cli.params import filter_options, json_option, where_of
from horae.client import ActionProgress, Client, Job, JobFilter, Problem, ProblemError, State


class OnAll(Protocol):
    """`Client.cancel_all` and its kin."""

    def __call__(
        self, *, expected_count: int, progress: Callable[[ActionProgress], None], **where: Unpack[JobFilter]
    ) -> Awaitable[ActionProgress]:
        """Does it."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to jobs: its verb, what to call for one and for all, and the states that it is meant for."""

    verb: str
    done: str
    one: Callable[[Client], Callable[[str], Awaitable[Job]]]
    all: Callable[[Client], OnAll]
    states: tuple[State, ...]


_CANCEL = Change(
    "cancel",
    "cancelled",
    lambda client: client.cancel,
    lambda client: client.cancel_all,
    (State.PENDING, State.QUEUED, State.RUNNING, State.RETRYING),
)
_RETRY = Change("retry", "retried", lambda client: client.retry, lambda client: client.retry_all, (State.FAILED,))


def _change_options(command: F) -> F:
    ids = click.argument("job_ids", metavar="[ID]...", nargs=-1)
    every = click.option("--all", "everything", is_flag=True, help="Every job in one of those states.")
    yes = click.option("-y", "--yes", is_flag=True, help="Don't ask.")
    return ids(filter_options(every(yes(json_option(command)))))


@click.command(
    cls=Command,
    examples=[
        "horae job cancel 0190b6a5-6c3f-7d4e-8a51-3f0d2c9b7e11",
        "horae job cancel --queue mail --state PENDING",
        "horae job cancel --tag nightly --yes",
    ],
)
@_change_options
def cancel(job_ids: tuple[str, ...], **options: Any) -> None:
    """Cancel jobs: by ID, or every job that the options find, unless it is final.

    A running job is asked to stop and may still end otherwise.
    """
    _apply(_CANCEL, job_ids, options)


@click.command(
    cls=Command,
    examples=[
        "horae job retry 0190b6a5-6c3f-7d4e-8a51-3f0d2c9b7e11",
        "horae job retry --handler invoice.send --created-after 1d",
    ],
)
@_change_options
def retry(job_ids: tuple[str, ...], **options: Any) -> None:
    """Start jobs anew: by ID, or every FAILED job (or --state CANCELLED) that the options find."""
    _apply(_RETRY, job_ids, options)


def _apply(change: Change, job_ids: tuple[str, ...], options: dict[str, Any]) -> None:
    as_json, yes, everything = (options.pop(name) for name in ("as_json", "yes", "everything"))
    where = where_of(options)
    if bool(job_ids) == bool(where or everything):
        raise click.UsageError("give either IDs, or options that find the jobs (--all for every one)")
    if job_ids:
        _to_each(change, job_ids, as_json=as_json)
    else:
        _to_all(change, {"state": change.states, **where}, yes=yes, as_json=as_json)


def _to_each(change: Change, job_ids: tuple[str, ...], *, as_json: bool) -> None:
    jobs, problems = call(lambda client: _each(client, change, job_ids))
    if as_json:
        print_json({"items": jobs, "problems": problems})
    else:
        for job in jobs:
            click.echo(f"{job.id}  {'asked to stop' if job.cancel_requested and not job.is_final else job.state}")
        for job_id, problem in problems.items():
            click.echo(f"{job_id}  {describe(problem)}", err=True)
    if problems:
        raise click.exceptions.Exit(REFUSED)


async def _each(client: Client, change: Change, job_ids: tuple[str, ...]) -> tuple[list[Job], dict[str, Problem]]:
    jobs, problems = [], {}
    for job_id in job_ids:
        try:
            jobs.append(await change.one(client)(job_id))
        except ProblemError as error:
            problems[job_id] = error.problem
    return jobs, problems


def _to_all(change: Change, where: JobFilter, *, yes: bool, as_json: bool) -> None:
    count = call(lambda client: client.count(**where))
    if count and not yes:
        click.confirm(f"{change.verb.capitalize()} {_jobs(count)}?", abort=True, err=True)
    total = _driven(change, where, count) if count else ActionProgress(0)
    if as_json:
        print_json(total)
    else:
        refused = f", {total.refused} refused: their state had changed" if total.refused else ""
        click.echo(f"{_jobs(total.done)} {change.done}{refused}")
    if total.refused and not total.done:
        raise click.exceptions.Exit(REFUSED)


def _driven(change: Change, where: JobFilter, count: int) -> ActionProgress:
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task(change.verb.capitalize(), total=count)
        show = partial(_advance, bar, task)
        goes_on = f"Stopped: what is {change.done} stays so, the rest is as it was."
        return call(
            lambda client: change.all(client)(expected_count=count, progress=show, **where), interrupted=goes_on
        )


def _advance(bar: Progress, task: Any, so_far: ActionProgress) -> None:
    bar.update(task, completed=so_far.done + so_far.refused)


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"
