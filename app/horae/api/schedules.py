"""Schedules one by one: create, list, read, change, delete, pause, resume, trigger."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from horae.api.answers import JobOut, json_response, page_answer
from horae.api.asked import id_of, version_of
from horae.api.body import SCHEDULE_LEVELS, Unchecked, check_text
from horae.api.context import Context, author_of, context_of, namespace_of
from horae.api.foresight import next_fires
from horae.api.jobs import job_after, job_response
from horae.api.news import tell_jobs, tell_schedule
from horae.api.paging import cut, position_of
from horae.api.problems import IF_MATCH_REQUIRED, ILLEGAL_MOVE, NAME_TAKEN, NOT_FOUND, STALE_VERSION, etag
from horae.api.routing import API, Answer, Routes
from horae.api.schedule_answers import ChangedScheduleOut, ScheduleOut, SchedulesOut, changed_answer, schedule_answer
from horae.api.schedule_drafts import changed_definition, new_definition
from horae.api.schedule_models import ScheduleIn, SchedulePatch, ScheduleQuery
from horae.domain.errors import NotFound, StaleVersion
from horae.domain.job import State
from horae.domain.schedule import Schedule, ScheduleId
from horae.signals.base import Topic
from horae.store.base_schedules import ScheduleFilter

schedules = Routes("schedules")

_ONE = Answer(ScheduleOut, headers=("ETag",))
_NEW = Answer(ScheduleOut, headers=("ETag", "Location"))
_CHANGED = Answer(ChangedScheduleOut, headers=("ETag",))
_JOB = Answer(JobOut, headers=("ETag", "Location"))


@schedules.post("/schedules", answers={201: _NEW}, refuses=(NAME_TAKEN,))
async def create_schedule(request: web.Request, body: Unchecked[ScheduleIn]) -> web.Response:
    """Create a schedule.

    It fires from now on. Its job is checked as one that is submitted. A name that another schedule has is a 409 that
    tells that one's id.
    """
    context, namespace = context_of(request), namespace_of(request)
    definition = new_definition(body.value, await keys_of(context, body), context.catalogue)
    id_ = ScheduleId(context.next_id())
    schedule = await context.deps.schedules.create(namespace, id_, definition, author_of(request))
    _tell(context, schedule, "created")
    return _response(schedule, schedule_answer(schedule), 201, Location=f"{request.path}/{schedule.id}")


@schedules.get("/schedules", out=SchedulesOut)
async def list_schedules(request: web.Request, query: ScheduleQuery) -> web.Response:
    """List schedules, by name."""
    where, namespace = query.as_filter(), namespace_of(request)
    scope = _list_scope(namespace, where)
    after = None if query.cursor is None else position_of(query.cursor, *scope)
    found = await context_of(request).deps.schedules.page(namespace, where, query.limit + 1, after)
    page, following = cut(found, query.limit, lambda schedule: schedule.definition.name, *scope)
    return json_response(page_answer([schedule_answer(schedule) for schedule in page], following))


@schedules.get("/schedules/{id}", answers={200: _ONE}, refuses=(NOT_FOUND,))
async def show_schedule(request: web.Request) -> web.Response:
    """Read a schedule."""
    schedule = await schedule_of(request)
    return _response(schedule, schedule_answer(schedule))


@schedules.patch(
    "/schedules/{id}",
    answers={200: _CHANGED},
    reads=("If-Match",),
    refuses=(NOT_FOUND, NAME_TAKEN, STALE_VERSION, IF_MATCH_REQUIRED),
)
async def change_schedule(request: web.Request, body: Unchecked[SchedulePatch]) -> web.Response:
    """Change a schedule.

    Needs `If-Match` with the ETag that the schedule was read with. Only what is given changes; what was due before is
    fired first. The answer tells the next five fire times by the old and by the new definition.
    """
    context, namespace, version = context_of(request), namespace_of(request), version_of(request, "schedule")
    keys = await keys_of(context, body)
    current = await schedule_of(request)
    if current.version != version:
        raise StaleVersion(current.id, version, current.version, "schedule")
    definition = changed_definition(current.definition, body.value, keys, context.catalogue)
    author = author_of(request)
    before, after = await context.deps.schedules.change(namespace, current.id, version, definition, author)
    if after.version != before.version:
        # What was due before may have been fired just now.
        context.deps.signals.hint(Topic.DUE)
        _tell(context, after, "updated")
    content = changed_answer(after, await next_fires(context, before), await next_fires(context, after))
    return _response(after, content)


@schedules.delete("/schedules/{id}", answers={204: Answer(empty=True)}, refuses=(NOT_FOUND,))
async def delete_schedule(request: web.Request) -> web.Response:
    """Delete a schedule.

    Its jobs, its ledger and its history stay; backfills that run are cancelled.
    """
    context, schedule = context_of(request), await schedule_of(request)
    await context.deps.schedules.delete(schedule.namespace, schedule.id, author_of(request))
    tell_schedule(context.deps, schedule.namespace, schedule.id, schedule.definition.name, "deleted")
    context.deps.signals.hint(Topic.CANCEL)
    return web.Response(status=204)


@schedules.post("/schedules/{id}/pause", answers={200: _ONE}, refuses=(NOT_FOUND, ILLEGAL_MOVE))
async def pause_schedule(request: web.Request) -> web.Response:
    """Pause a schedule.

    Until it is resumed, its fire times go by and are written down as skipped. May be repeated.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "schedule")
    schedule = await context.deps.schedules.pause(namespace, id_, author_of(request))
    tell_schedule(context.deps, namespace, id_, schedule.definition.name, "paused")
    return _response(schedule, schedule_answer(schedule))


@schedules.post("/schedules/{id}/resume", answers={200: _ONE}, refuses=(NOT_FOUND, ILLEGAL_MOVE))
async def resume_schedule(request: web.Request) -> web.Response:
    """Resume a schedule.

    Fire times count again from now on; those of the pause don't. May be repeated.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "schedule")
    schedule = await context.deps.schedules.resume(namespace, id_, author_of(request))
    _tell(context, schedule, "resumed")
    return _response(schedule, schedule_answer(schedule))


@schedules.post("/schedules/{id}/trigger", answers={201: _JOB}, refuses=(NOT_FOUND,))
async def trigger_schedule(request: web.Request) -> web.Response:
    """Make a job of a schedule now.

    Whatever its state, bounds and overlap policy. The job has no fire time and isn't counted in `runs`.
    """
    context, schedule, job_id = context_of(request), await schedule_of(request), context_of(request).new_id()
    await context.deps.schedules.trigger(schedule.namespace, schedule.id, job_id, author_of(request))
    context.deps.signals.hint(Topic.DUE)
    tell_jobs(context.deps, schedule.namespace, [job_id], State.PENDING)
    tell_schedule(context.deps, schedule.namespace, schedule.id, schedule.definition.name, "triggered", job_id=job_id)
    job = await job_after(context, schedule.namespace, job_id)
    context.deps.metrics.jobs_submitted(job.queue, 1)
    return job_response(job, 201, f"{API}/jobs/{job_id}")


# -------------------------------------------------------------------------------------------------- for other files too


async def schedule_of(request: web.Request) -> Schedule:
    """The schedule that the address names.

    Raises:
        NotFound: there is none.
    """
    id_ = id_of(request, "schedule")
    schedule = await context_of(request).deps.schedules.get(namespace_of(request), id_)
    if schedule is None:
        raise NotFound("schedule", id_)
    return schedule


async def keys_of(context: Context, body: Unchecked[Any]) -> int:
    """How many keys the body holds. Its text is fine, and the handler that it names was looked up.

    Raises:
        InvalidInput: it is nested too deeply, or the parser let something pass.
    """
    keys = await check_text(body, SCHEDULE_LEVELS)
    job = body.value.get("job") if isinstance(body.value, dict) else None
    handler = job.get("handler") if isinstance(job, dict) else None
    await context.catalogue.learn([handler] if isinstance(handler, str) else [])
    return keys


def _list_scope(namespace: str, where: ScheduleFilter) -> tuple[object, ...]:
    return "schedules", namespace, sorted(where.states), where.name, where.handler, where.source, where.text


def _response(schedule: Schedule, content: dict[str, Any], status: int = 200, **headers: str) -> web.Response:
    return json_response(content, status, {"ETag": etag(schedule.version), **headers})


def _tell(context: Context, schedule: Schedule, change: str) -> None:
    """What may bring a fire time forward: schedulers look."""
    context.deps.signals.hint(Topic.SCHEDULES)
    tell_schedule(context.deps, schedule.namespace, schedule.id, schedule.definition.name, change)
