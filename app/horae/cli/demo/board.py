"""The demo's table: a line for each job, alive on a terminal, one line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from horae.cli.demo.script import Act
from horae.cli.follow import FRAMES_PER_SECOND, LiveJob, line_grid, plain_line
from horae.client import Job, State

_WIDE = 110


class Board:
    """Shows jobs as they change. `acts` and the jobs given to `show` are in the same order."""

    def __init__(self, acts: Sequence[Act], out: Console) -> None:
        self._acts = acts
        self._out = out
        self._rows: list[LiveJob] = []
        self._live = Live(self, console=out, refresh_per_second=FRAMES_PER_SECOND) if out.is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, jobs: Sequence[Job]) -> None:
        """These are the jobs now."""
        seen: Mapping[str, Job] = {row.job.id: row.job for row in self._rows}
        if not self._rows:
            self._begin(jobs)
        for act, row, job in zip(self._acts, self._rows, jobs, strict=True):
            row.job = job
            if self._live is None and job != seen.get(job.id):
                click.echo(f"{act.title:<34}{plain_line(job)}")

    def _begin(self, jobs: Sequence[Job]) -> None:
        self._rows = [LiveJob(job) for job in jobs]
        if self._live is not None:
            self._live.start(refresh=True)

    def __rich__(self) -> RenderableType:
        grid = line_grid(columns=5 if self._is_wide else 4)
        grid.columns[2].min_width = max(len(state) for state in State)
        for act, row in zip(self._acts, self._rows, strict=True):
            grid.add_row(*self._cells(act, row))
        return grid

    @property
    def _is_wide(self) -> bool:
        return self._out.width >= _WIDE

    def _cells(self, act: Act, row: LiveJob) -> list[RenderableType]:
        mark, state, attempt, standing = row.cells()
        if row.job.is_final:
            mark = Text("✓", style="green") if act.as_expected(row.job) else Text("✗", style="red")
        return [mark, Text(act.title, style="bold"), state, *([attempt] if self._is_wide else []), standing]
