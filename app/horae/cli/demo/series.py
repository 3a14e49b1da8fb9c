"""The demo's schedule with the jobs that it has made, as a line of the board."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import RenderableType
from rich.spinner import Spinner
from rich.text import Text

from horae.cli.output import word
from horae.cli.schedules.words import state_word
from horae.cli.text import length
from horae.client import Job, Schedule
from horae.runtime.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Series:
    """A schedule, and its jobs so far."""

    schedule: Schedule
    jobs: Sequence[Job] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.schedule.state == "ENDED" and all(job.is_final for job in self.jobs)

    @property
    def fired(self) -> str:
        """How often it has fired: `fire 2 of 3`."""
        return f"fire {self.schedule.runs} of {self.schedule.max_runs}" if self.schedule.runs else ""

    def standing(self, now: datetime) -> str:
        """When it fires next, and what has become of its jobs."""
        counts = Counter(job.state for job in self.jobs)
        upcoming = self.schedule.next_fire_at
        seconds = 0 if upcoming is None else max(0, math.ceil((upcoming - now).total_seconds()))
        again = "" if upcoming is None else f"fires {f'in {length(seconds)}' if seconds else 'now'}"
        return ", ".join([*([again] if again else []), *(f"{count} {state}" for state, count in counts.items())])


class LiveSeries:
    """The line of a series as it is now; it counts down by itself between two changes."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self._clock = SystemClock()
        self._spinner = Spinner("dots")

    def cells(self) -> list[RenderableType]:
        """Mark, state, fires, and how it stands."""
        series = self.series
        standing = word(series.standing(self._clock.now()))
        return [self._spinner, state_word(series.schedule), Text(series.fired, style="dim"), standing]


def plain_line(series: Series) -> str:
    """A change of a series, for a log."""
    now = SystemClock().now()
    words = (f"{now:%H:%M:%S}Z", f"{series.schedule.state:<9}", series.fired, series.standing(now))
    return "  ".join(part for part in words if part)
