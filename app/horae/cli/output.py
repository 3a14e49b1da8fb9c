"""What commands print: tables that drop columns before they break lines, styles, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from horae.cli.text import as_json, line
from horae.client import Outcome, State

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


def console(*, stderr: bool = False) -> Console:
    """Writes data as it is: no markup, no emoji codes; into a pipe without a width."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """For `--json`."""
    click.echo(as_json(value))


def word(text: str, style: str = "") -> Text:
    """Data on one line."""
    return Text(line(text), style=style)


def state_word(state: State) -> Text:
    """The state in its colour."""
    return Text(state, style=STATES[state])


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table. `needs`: the width of the terminal from which on it is shown."""

    title: str
    value: Callable[[T], Text | str]
    needs: int = 0
    right: bool = False
    whole: bool = False


def table(columns: Sequence[Column[T]], rows: Iterable[T], width: int) -> Table:
    """One line a row, with the columns for which a terminal of that width has room."""
    shown = [column for column in columns if column.needs <= width]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in shown:
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="fold" if column.whole else "ellipsis",
            min_width=36 if column.whole else None,
        )
    for row in rows:
        made.add_row(*(_cell(column.value(row)) for column in shown))
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
