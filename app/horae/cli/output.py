"""What commands print: tables that drop columns before they break lines, styles, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from horae.cli.text import as_json, line
from horae.domain.job import Outcome, State

T = TypeVar("T")

STATES = {
    State.PENDING: "cyan",
    State.QUEUED: "blue",
    State.RUNNING: "yellow",
    State.RETRYING: "magenta",
    State.SUCCESS: "green",
    State.FAILED: "red",
    State.CANCELLED: "bright_black",
}

OUTCOMES = {
    Outcome.SUCCESS: "green",
    Outcome.FAILED: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.CANCELLED: "bright_black",
    Outcome.LOST: "red",
    Outcome.RELEASED: "blue",
    Outcome.RETRIED: "magenta",
}

_PIPE_WIDTH = 1000
_KEPT_WHOLE = 36
"""the length of an id"""


def console(*, stderr: bool = False) -> Console:
    """Writes data as it is: no markup, no emoji codes; into a pipe without a width."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """For `--json`."""
    click.echo(as_json(value))


def word(text: str, style: str = "") -> Text:
    """Data on one line, cut where the room ends."""
    return Text(line(text), style=style, no_wrap=True, overflow="ellipsis")


def beside(*words: Text) -> Text:
    """The words on one line, apart; empty ones leave no gap."""
    return Text("  ", no_wrap=True, overflow="ellipsis").join(each for each in words if each)


def state_word(state: State) -> Text:
    """The state in its colour."""
    return Text(state, style=STATES[state])


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table. `needs`: the width of the terminal from which on it is shown; `words`: may be cut short."""

    title: str
    value: Callable[[T], Text | str]
    needs: int = 0
    right: bool = False
    words: bool = False


def table(columns: Sequence[Column[T]], rows: Sequence[T], width: int) -> Table:
    """One line a row, with the columns for which a terminal of that width has room."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    shown = [column for column in columns if column.needs <= width]
    cells = [[_cell(column.value(row)) for row in rows] for column in shown]
    for column, values in zip(shown, cells, strict=True):
        widest = max(cell_len(column.title), *(value.cell_len for value in values))
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            # rich shortens columns that may wrap before all others; `word` sees to it that they don't.
            no_wrap=not column.words,
            overflow="ellipsis",
            min_width=None if column.words else min(widest, _KEPT_WHOLE),
        )
    for line_of_cells in zip(*cells, strict=True):
        made.add_row(*line_of_cells)
    return made


def _cell(value: Text | str) -> Text:
    return word(value) if isinstance(value, str) else value


def show_table(columns: Sequence[Column[T]], rows: Sequence[T], nothing: str) -> None:
    """Prints the table to stdout, or says to stderr that there is nothing."""
    if not rows:
        click.echo(nothing, err=True)
        return
    out = console()
    out.print(table(columns, rows, out.width))
