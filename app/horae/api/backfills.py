"""Backfills: jobs for the past of a schedule."""

from __future__ import annotations

from aiohttp import web

from horae.api.answers import json_response, page_answer
from horae.api.asked import id_of
from horae.api.context import ApiDeps, author_of, context_of, namespace_of
from horae.api.models import ListQuery
from horae.api.news import tell_schedule
from horae.api.paging import cut, id_position
from horae.api.problems import ILLEGAL_MOVE, NOT_FOUND
from horae.api.routing import Answer, Routes
from horae.api.schedule_answers import BackfillOut, BackfillsOut, backfill_answer
from horae.api.schedule_models import BackfillIn
from horae.api.schedules import schedule_of
from horae.domain.errors import InvalidInput, NotFound
from horae.domain.schedule import Backfill, BackfillId, Schedule
from horae.signals.base import Topic
from horae.store.base_schedules import NewBackfill

backfills = Routes("schedules")

_NEW = Answer(BackfillOut, headers=("Location",))


@backfills.post("/schedules/{id}/backfill", answers={201: _NEW}, refuses=(NOT_FOUND,))
async def start_backfill(request: web.Request, body: BackfillIn) -> web.Response:
    """Make jobs for a past range of a schedule.

    One for each fire time from `from` to `to` that has none, at most 10,000, and at most `max_concurrent` of them at a
    time, the oldest first. What the schedule itself has still to judge is left to it.
    """
    if body.end < body.begin:
        raise InvalidInput.of("to", "should not be earlier than from")
    context, schedule = context_of(request), await schedule_of(request)
    new = NewBackfill(BackfillId(context.next_id()), body.begin, body.end, body.max_concurrent)
    backfill = await context.deps.schedules.backfill(schedule.namespace, schedule.id, new, author_of(request))
    context.deps.signals.hint(Topic.SCHEDULES)
    _tell(context.deps, schedule, backfill)
    headers = {"Location": f"{request.path}s/{backfill.id}"}
    return json_response(backfill_answer(backfill), 201, headers)


@backfills.get("/schedules/{id}/backfills", out=BackfillsOut, refuses=(NOT_FOUND,))
async def list_backfills(request: web.Request, query: ListQuery) -> web.Response:
    """List the backfills of a schedule, the newest first."""
    namespace, id_ = namespace_of(request), id_of(request, "schedule")
    scope = ("backfills", namespace, id_)
    before = None if query.cursor is None else id_position(query.cursor, *scope)
    found = await context_of(request).deps.schedules.backfills(namespace, id_, query.limit + 1, before)
    page, following = cut(found, query.limit, lambda backfill: backfill.id, *scope)
    return json_response(page_answer([backfill_answer(backfill) for backfill in page], following))


@backfills.get("/schedules/{id}/backfills/{backfill_id}", out=BackfillOut, refuses=(NOT_FOUND,))
async def show_backfill(request: web.Request) -> web.Response:
    """Read how far a backfill has come."""
    id_, backfill_id = id_of(request, "schedule"), id_of(request, "backfill", "backfill_id")
    found = await context_of(request).deps.schedules.get_backfill(namespace_of(request), id_, backfill_id)
    if found is None:
        raise NotFound("backfill", backfill_id)
    return json_response(backfill_answer(found))


@backfills.post("/schedules/{id}/backfills/{backfill_id}/cancel", out=BackfillOut, refuses=(NOT_FOUND, ILLEGAL_MOVE))
async def cancel_backfill(request: web.Request) -> web.Response:
    """Cancel a backfill.

    It makes no further job, and those of its jobs that aren't final are cancelled. May be repeated.
    """
    deps, schedule = context_of(request).deps, await schedule_of(request)
    backfill_id = id_of(request, "backfill", "backfill_id")
    backfill = await deps.schedules.cancel_backfill(schedule.namespace, schedule.id, backfill_id, author_of(request))
    deps.signals.hint(Topic.CANCEL)
    _tell(deps, schedule, backfill)
    return json_response(backfill_answer(backfill))


def _tell(deps: ApiDeps, schedule: Schedule, backfill: Backfill) -> None:
    more = {"backfill_id": backfill.id, "state": backfill.state.value}
    tell_schedule(deps, schedule.namespace, schedule.id, schedule.definition.name, "backfill", **more)
