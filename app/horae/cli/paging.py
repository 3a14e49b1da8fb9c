"""As many items of a list as a command was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from horae.cli.commands import F
from horae.client import Page
from horae.client.calls import LARGEST_PAGE

T = TypeVar("T")


def limit_options(command: F) -> F:
    """`--limit` and `--all`; `limit_of` reads them."""
    limit = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
    every = click.option("--all", "everything", is_flag=True, help="Everything that is found.")
    return limit(every(command))


def limit_of(options: dict[str, Any]) -> int | None:
    """How many were asked for, None for all; taken out of `options`."""
    limit, everything = options.pop("limit"), options.pop("everything")
    return None if everything else limit


async def first(fetch: Callable[[int, str | None], Awaitable[Page[T]]], limit: int | None) -> Page[T]:
    """The first so many items, or all; the cursor leads to the rest. `fetch` takes a page's size and its cursor."""
    found: list[T] = []
    cursor: str | None = None
    while True:
        wanted = LARGEST_PAGE if limit is None else min(LARGEST_PAGE, limit - len(found))
        page = await fetch(wanted, cursor)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None or len(found) == limit:
            return Page(tuple(found), cursor)


def tell_of_more(page: Page[Any], which: str = "newest") -> None:
    """Says to stderr that the list goes on, if it does."""
    if page.next_cursor is not None:
        click.echo(f"The {which} {len(page.items)}; there are more: --limit N or --all.", err=True)
