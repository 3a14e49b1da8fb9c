"""What a schedule will do, stored or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aiohttp import web

from horae.api.answers import json_response
from horae.api.body import Unchecked
from horae.api.context import context_of
from horae.api.foresight import foreseen, jitter_warnings, runs_left
from horae.api.problems import NOT_FOUND
from horae.api.routing import Routes
from horae.api.schedule_answers import PreviewOut, preview_answer
from horae.api.schedule_drafts import previewed
from horae.api.schedule_models import PreviewIn, PreviewQuery
from horae.api.schedules import keys_of, schedule_of
from horae.domain.schedule import Schedule, ScheduleState

previews = Routes("schedules")


@previews.post("/schedules/preview", out=PreviewOut)
async def preview_definition(request: web.Request, body: Unchecked[PreviewIn]) -> web.Response:
    """Preview a schedule without storing it.

    The fields of a schedule, of which `name` and `job` may be left out. Each fire time comes in UTC and as the zone's
    clock shows it, with a note where a clock change moved, dropped or doubled it.
    """
    context = context_of(request)
    keys = await keys_of(context, body)
    asked, timing = previewed(body.value, keys, context.catalogue, context.deps.clock.now())
    found = await foreseen(context, timing, asked.begin, asked.count, asked.max_runs)
    warnings = [*found.warnings, *jitter_warnings(asked.jitter_seconds or 0, found.items)]
    return json_response(preview_answer(replace(found, warnings=warnings)))


@previews.get("/schedules/{id}/preview", out=PreviewOut, refuses=(NOT_FOUND,))
async def preview_schedule(request: web.Request, query: PreviewQuery) -> web.Response:
    """Preview a schedule.

    Its next fire times, in UTC and as the zone's clock shows them; none when it has ended.
    """
    context, schedule = context_of(request), await schedule_of(request)
    definition = schedule.definition
    found = await foreseen(context, definition.timing, query.begin, query.count, runs_left(schedule))
    if schedule.state is ScheduleState.ENDED:
        found = replace(found, items=[], dropped=[])
    warnings = [*_state_warnings(schedule), *found.warnings, *jitter_warnings(definition.jitter_seconds, found.items)]
    return json_response(preview_answer(replace(found, warnings=warnings)))


def _state_warnings(schedule: Schedule) -> Iterator[str]:
    if schedule.state is ScheduleState.ENDED:
        yield f"It has ended: {schedule.ended_reason}."
    if schedule.state is ScheduleState.PAUSED:
        yield "It is paused: its fire times are skipped until it is resumed."
