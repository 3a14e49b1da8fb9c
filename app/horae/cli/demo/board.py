"""The demo's table: a line for each job and one for the schedule, alive on a terminal, a plain line for each change
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from horae.cli.demo.script import Act, Program, Scene
from horae.cli.demo.series import LiveSeries, Series
from horae.cli.demo.series import plain_line as series_line
from horae.cli.follow import FRAMES_PER_SECOND, LiveJob, line_grid, plain_line
from horae.client import Job, State

_WIDE = 110
_TITLE = 34


class Board:
    """Shows a program as it goes on. Its acts and the jobs of a scene are in the same order."""

    def __init__(self, program: Program, out: Console) -> None:
        self._program = program
        self._out = out
        self._rows: list[LiveJob] = []
        self._series: LiveSeries | None = None
        self._live = Live(self, console=out, refresh_per_second=FRAMES_PER_SECOND) if out.is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, scene: Scene) -> None:
        """This is how it is now."""
        if self._live is None:
            self._print_changes(scene)
        if self._series is None:
            self._rows, self._series = [LiveJob(job) for job in scene.jobs], LiveSeries(scene.series)
            if self._live is not None:
                self._live.start(refresh=True)
        self._series.series = scene.series
        for row, job in zip(self._rows, scene.jobs, strict=True):
            row.job = job

    def _print_changes(self, scene: Scene) -> None:
        seen: Mapping[str, Job] = {row.job.id: row.job for row in self._rows}
        for act, job in zip(self._program.acts, scene.jobs, strict=True):
            if job != seen.get(job.id):
                click.echo(f"{act.title:<{_TITLE}}{plain_line(job)}")
        if self._series is None or _news(self._series.series) != _news(scene.series):
            click.echo(f"{self._program.recurring.title:<{_TITLE}}{series_line(scene.series)}")

    def __rich__(self) -> RenderableType:
        grid = line_grid(columns=5 if self._is_wide else 4)
        grid.columns[2].min_width = max(len(state) for state in State)
        for act, row in zip(self._program.acts, self._rows, strict=True):
            grid.add_row(*self._cells(act.title, row.cells(), _verdict(act, row.job)))
        if self._series is not None:
            recurring, series = self._program.recurring, self._series.series
            verdict = recurring.as_expected(series) if series.is_final else None
            grid.add_row(*self._cells(recurring.title, self._series.cells(), verdict))
        return grid

    @property
    def _is_wide(self) -> bool:
        return self._out.width >= _WIDE

    def _cells(self, title: str, cells: Sequence[RenderableType], as_expected: bool | None) -> list[RenderableType]:
        mark, state, count, standing = cells
        if as_expected is not None:
            mark = Text("✓", style="green") if as_expected else Text("✗", style="red")
        return [mark, Text(title, style="bold"), state, *([count] if self._is_wide else []), standing]


def _verdict(act: Act, job: Job) -> bool | None:
    """Whether it ended as it should; None while it goes on."""
    return act.as_expected(job) if job.is_final else None


def _news(series: Series) -> object:
    """What of a series is worth a line of its own."""
    return series.schedule.state, series.schedule.runs, [(job.id, job.state) for job in series.jobs]
