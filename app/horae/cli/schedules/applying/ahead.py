"""Asks the api, before anything is written, whether each step is allowed and when the schedule will fire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from horae.cli.schedules.applying.diff import Action, Step, definition
from horae.cli.schedules.fires import SHOWN
from horae.client import Client, Fire, Invalid, NotFound, Preview, Schedule, ScheduleChanges

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outlook:
    """A step with its next fires before and after it, what these are in words, and why it can't be taken."""

    step: Step
    before: tuple[Fire, ...] = ()
    after: tuple[Fire, ...] = ()
    description: str = ""
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


async def outlooks(client: Client, steps: Sequence[Step]) -> list[Outlook]:
    """One for each step, in their order."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(step: Step) -> Outlook:
        async with gate:
            return await _outlook(client, step)

    return await asyncio.gather(*(one(step) for step in steps))


async def _outlook(client: Client, step: Step) -> Outlook:
    match step.action:
        case Action.CREATE | Action.UPDATE:
            return await _checked(client, step)
        case Action.REFUSE:
            return Outlook(step, problems=(_foreign(step),))
        case Action.KEEP | Action.DELETE | Action.STRAY:
            return Outlook(step)


async def _checked(client: Client, step: Step) -> Outlook:
    said, runs_out = _remaining(definition(step), step.stored)
    try:
        after = await client.preview(count=SHOWN, **cast("ScheduleChanges", said))
    except Invalid as refusal:
        return Outlook(step, problems=_problems(step, refusal))
    before = await _stored_fires(client, step.stored) if step.stored and step.moves else ()
    return Outlook(step, before, () if runs_out else after.items, after.description, after.warnings)


def _remaining(said: dict[str, Any], stored: Schedule | None) -> tuple[dict[str, Any], bool]:
    """The definition with only those runs that are left, and whether none are."""
    most = said.get("max_runs")
    if stored is None or not isinstance(most, int) or most < 1:
        return said, False
    return {**said, "max_runs": max(1, most - stored.runs)}, most <= stored.runs


async def _stored_fires(client: Client, stored: Schedule) -> tuple[Fire, ...]:
    found: Preview | None = None
    with suppress(NotFound):
        found = await client.preview_schedule(stored.id, count=SHOWN)
    return found.items if found else ()


def _problems(step: Step, refusal: Invalid) -> tuple[str, ...]:
    if step.entry is None or not refusal.errors:
        return (f"schedule {step.name!r}: {'; '.join(refusal.problem.lines())}",)
    return tuple(step.entry.problem(error.field, error.message) for error in refusal.errors)


def _foreign(step: Step) -> str:
    source = step.stored.source if step.stored else None
    origin = "was made by hand" if source is None else f"comes from the source {source!r}"
    told = f"one of this name {origin}: --adopt takes it over"
    return step.entry.problem("name", told) if step.entry else told
