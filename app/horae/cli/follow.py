"""Follows one job to its end: a live line on a terminal, a plain line for each change elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from horae.cli.exits import REFUSED
from horae.cli.output import STATES, console, state_word, word
from horae.cli.situation import situation, starts
from horae.cli.text import as_json
from horae.client import Client, Job, Retries, State
from horae.runtime.clock import SystemClock

FRAMES_PER_SECOND = 8
PATIENT = Retries(attempts=20)
"""about a minute: who follows something wants to see it through a restart of the api"""

_MARKS = {
    State.PENDING: "·",
    State.RETRYING: "↻",
    State.SUCCESS: "✓",
    State.FAILED: "✗",
    State.CANCELLED: "⊘",
}
"""where nothing moves"""


class LiveJob:
    """The line of a job as it is now; it counts down by itself between two changes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._clock = SystemClock()
        self._spinner = Spinner("dots")

    def cells(self) -> list[RenderableType]:
        """Mark, state, attempt, and how it stands."""
        job = self.job
        mark = Text(_MARKS[job.state], style=STATES[job.state]) if job.state in _MARKS else self._spinner
        attempt = Text(f"attempt {starts(job)}" if job.attempt else "", style="dim")
        return [mark, state_word(job.state), attempt, self._standing()]

    def __rich__(self) -> RenderableType:
        grid = line_grid(columns=4)
        grid.add_row(*self.cells())
        return grid

    def _standing(self) -> RenderableType:
        words = word(situation(self.job, self._clock.now()))
        share = _share(self.job)
        if share is None:
            return words
        grid = line_grid(columns=3, gap=1)
        grid.add_row(ProgressBar(total=1.0, completed=share, width=20), Text(f"{share:4.0%}"), words)
        return grid


def line_grid(columns: int, gap: int = 2) -> Table:
    """A grid whose last column has to do with the room that the others leave."""
    grid = Table.grid(padding=(0, gap))
    for _ in range(columns - 1):
        grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _share(job: Job) -> float | None:
    """How much is done, while it runs and says so."""
    if job.state is not State.RUNNING or job.progress is None or job.progress.value is None:
        return None
    return min(max(job.progress.value, 0.0), 1.0)


def plain_line(job: Job) -> str:
    """A change of a job, for a log: its moment, its state, and how it stands."""
    now, share = SystemClock().now(), _share(job)
    attempt = f"attempt {starts(job)}" if job.attempt else ""
    progress = "" if share is None else f"{share:.0%}"
    words = (f"{now:%H:%M:%S}Z", f"{job.state:<9}", attempt, progress, situation(job, now))
    return "  ".join(part for part in words if part)


async def follow(job: Job, *, as_lines_of_json: bool = False) -> Job:
    """Shows every change of the job on stdout until it is final; answers it as it is then."""
    async with Client(retries=PATIENT) as client:
        changes = client.watch(job.id)
        out = console()
        if out.is_terminal and not as_lines_of_json:
            return await _live(job, changes, out)
        return await _printed(job, changes, _line_of_json if as_lines_of_json else plain_line)


def follow_hint(job_id: str) -> str:
    """What to say after Ctrl-C."""
    return f"The job goes on. See it again with: horae job watch {job_id}"


def end(job: Job) -> NoReturn:
    """Ends the process as the job ended."""
    if not job.succeeded:
        click.echo(f"See more with: horae job show {job.id}", err=True)
    raise click.exceptions.Exit(0 if job.succeeded else REFUSED)


async def _live(job: Job, changes: AsyncIterator[Job], out: Console) -> Job:
    shown = LiveJob(job)
    with Live(shown, console=out, refresh_per_second=FRAMES_PER_SECOND):
        async for changed in changes:
            shown.job = changed
    return shown.job


async def _printed(job: Job, changes: AsyncIterator[Job], write: Callable[[Job], str]) -> Job:
    async for changed in changes:
        click.echo(write(changed))
        job = changed
    return job


def _line_of_json(job: Job) -> str:
    return as_json(job, indent=False)
