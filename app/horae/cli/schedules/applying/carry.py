"""Carries the steps out. Others may write at the same time: what has changed meanwhile is looked at anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from horae.cli.schedules.applying.diff import Action, Step, step
from horae.client import Client, Conflict, NotFound, Problem, ProblemError, ScheduleChanges, ScheduleFields, Stale

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Done:
    """A step as it was carried out at last, or refused with a problem."""

    step: Step
    problem: Problem | None = None


async def carry_out(client: Client, planned: Sequence[Step], *, adopt: bool) -> AsyncGenerator[Done, None]:
    """Yields each step that writes when it is done. After a refusal the others go on, but nothing is deleted."""
    refused = False
    for one in planned:
        if not one.writes or (refused and one.action is Action.DELETE):
            continue
        done = await _carried(client, one, adopt=adopt)
        refused = refused or done.problem is not None
        yield done


async def _carried(client: Client, planned: Step, *, adopt: bool) -> Done:
    try:
        return Done(await _until_settled(client, planned, adopt=adopt))
    except ProblemError as error:
        return Done(planned, error.problem)


async def _until_settled(client: Client, planned: Step, *, adopt: bool) -> Step:
    for tries_left in reversed(range(_TRIES)):
        try:
            return await _once(client, planned)
        except (Stale, Conflict, NotFound):
            # The same file may be applied twice at once, as by two deploys: then the other one was first.
            planned = await _anew(client, planned, adopt=adopt)
            if planned.action is Action.REFUSE or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _anew(client: Client, planned: Step, *, adopt: bool) -> Step:
    if planned.entry is None:
        return planned
    page = await client.list_schedules(name=planned.name, limit=1)
    return step(planned.entry, page.items[0] if page.items else None, adopt=adopt)


async def _once(client: Client, planned: Step) -> Step:
    match planned.action:
        case Action.CREATE if planned.entry is not None:
            said: dict[str, Any] = dict(planned.entry.fields)
            name, job = said.pop("name"), said.pop("job")
            await client.create_schedule(name, job, **cast("ScheduleFields", said))
        case Action.UPDATE if planned.stored is not None:
            stored, changes = planned.stored, cast("ScheduleChanges", planned.patch())
            await client.update_schedule(stored.id, stored.version, **changes)
        case Action.DELETE if planned.stored is not None:
            await _delete(client, planned.stored.id, planned.stored.source)
    return planned


async def _delete(client: Client, schedule_id: str, source: str | None) -> None:
    """Deletes it unless it is gone, or has been given to another source meanwhile."""
    with suppress(NotFound):
        if (await client.get_schedule(schedule_id)).source == source:
            await client.delete_schedule(schedule_id)
