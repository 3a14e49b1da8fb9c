"""A NAME on the command line: the schedule that it means."""

from __future__ import annotations

from contextlib import suppress

import click

from horae.cli.exits import REFUSED
from horae.cli.text import line
from horae.client import Client, NotFound, Schedule
from horae.domain.ids import is_id


class NoSuchSchedule(click.ClickException):
    """Nothing has this name or id."""

    exit_code = REFUSED

    def __init__(self, name: str) -> None:
        super().__init__(line(f"there is no schedule {name!r}; see those there are with: horae schedule list"))


async def named(client: Client, name: str) -> Schedule:
    """The schedule with this id, or else with this name.

    Raises:
        NoSuchSchedule: there is neither.
    """
    if is_id(name):
        with suppress(NotFound):
            return await client.get_schedule(name)
    page = await client.list_schedules(name=name, limit=1)
    if not page.items:
        raise NoSuchSchedule(name)
    return page.items[0]


async def named_or_gone(client: Client, name: str) -> Schedule | str:
    """The same; an id that isn't known now is answered as it is: ledger and history outlive a schedule.

    Raises:
        NoSuchSchedule: there is none of this name, and it isn't an id.
    """
    try:
        return await named(client, name)
    except NoSuchSchedule:
        if not is_id(name):
            raise
        return name
