"""Jobs one by one: submit, list, read and wait, edit, cancel, retry."""

from __future__ import annotations

from aiohttp import web

from horae.api.answers import (
    AttemptsOut,
    BulkOut,
    JobOut,
    JobsOut,
    attempt_answer,
    job_answer,
    json_response,
    page_answer,
)
from horae.api.asked import id_of, version_of
from horae.api.body import BULK_BYTES, Unchecked
from horae.api.context import Context, context_of, namespace_of
from horae.api.drafts import payload_text
from horae.api.models import BulkIn, JobIn, JobPatch, JobQuery, WaitQuery
from horae.api.news import tell_jobs
from horae.api.paging import cut, id_position
from horae.api.problems import (
    IF_MATCH_REQUIRED,
    ILLEGAL_MOVE,
    KEY_CONFLICT,
    NOT_FOUND,
    STALE_VERSION,
    etag,
)
from horae.api.routing import Answer, Routes
from horae.api.scan import Census
from horae.api.settings import given_settings, time_conflicts
from horae.api.submitting import KEY_HEADER, submit_many, submit_one
from horae.api.waiting import until_final
from horae.domain.errors import IllegalMove, InvalidInput, NotFound, OutcomeUnknown, StoreUnavailable
from horae.domain.job import Job, State
from horae.signals.base import Topic
from horae.store.base import Edit, JobFilter

jobs = Routes("jobs")

_ONE = Answer(JobOut, headers=("ETag",))
_SUBMITTED = Answer(JobOut, headers=("ETag", "Location"))


def job_response(job: Job, status: int = 200, location: str | None = None) -> web.Response:
    """The answer that shows one job."""
    headers = {"ETag": etag(job.token)}
    if location is not None:
        headers["Location"] = location
    return json_response(job_answer(job), status, headers)


@jobs.post("/jobs", answers={201: _SUBMITTED, 200: _SUBMITTED}, reads=(KEY_HEADER,), refuses=(KEY_CONFLICT,))
async def submit(request: web.Request, body: Unchecked[JobIn]) -> web.Response:
    """Submit a job.

    With an idempotency key, in the header or in the body, the request may be repeated for 24 hours: the same body is
    answered 200 with the first job, another body 409.
    """
    context = context_of(request)
    submitted = await submit_one(context, request, body)
    job = await job_after(context, namespace_of(request), submitted.ids[0])
    return job_response(job, 201 if submitted.fresh[0] else 200, f"{request.path}/{job.id}")


@jobs.post(
    "/jobs/bulk",
    answers={201: Answer(BulkOut), 200: Answer(BulkOut)},
    reads=(KEY_HEADER,),
    refuses=(KEY_CONFLICT,),
    limit=BULK_BYTES,
)
async def submit_bulk(request: web.Request, body: Unchecked[BulkIn]) -> web.Response:
    """Submit many jobs at once.

    Up to 10,000, all or none of them. The header Idempotency-Key covers the whole request. A job whose own key is
    known is answered with the id of its first submission, in its place. 200 means that nothing was new.
    """
    submitted = await submit_many(context_of(request), request, body)
    return json_response({"ids": submitted.ids}, 201 if any(submitted.fresh) else 200)


@jobs.get("/jobs", out=JobsOut)
async def list_jobs(request: web.Request, query: JobQuery) -> web.Response:
    """List jobs, the newest first."""
    where, namespace = query.as_filter(), namespace_of(request)
    scope = list_scope(namespace, where)
    before = None if query.cursor is None else id_position(query.cursor, *scope)
    found = await context_of(request).deps.jobs.page(namespace, where, query.limit + 1, before)
    page, following = cut(found, query.limit, lambda job: job.id, *scope)
    return json_response(page_answer([job_answer(job) for job in page], following))


def list_scope(namespace: str, where: JobFilter) -> tuple[object, ...]:
    """What tells this list of jobs from others."""
    equal = (where.queue, where.handler, where.tag, where.schedule_id)
    return "jobs", namespace, sorted(where.states), equal, where.created_after, where.created_before, where.text


@jobs.get("/jobs/{id}", answers={200: _ONE}, refuses=(NOT_FOUND,))
async def show(request: web.Request, query: WaitQuery) -> web.Response:
    """Read a job, or wait for its end.

    With `wait` the answer comes when the job is final, or after so many seconds as it is then.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "job")
    job = await _get(context, namespace, id_)
    if query.wait:
        job = await until_final(
            context.waiters,
            context.deps.clock,
            job,
            read=lambda: _get(context, namespace, id_),
            gone=lambda: request.transport is None or request.transport.is_closing(),
            seconds=query.wait,
        )
    return job_response(job)


@jobs.get("/jobs/{id}/attempts", out=AttemptsOut, refuses=(NOT_FOUND,))
async def list_attempts(request: web.Request) -> web.Response:
    """List the attempts of a job.

    Every ended one, the oldest first.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "job")
    found = await context.deps.jobs.attempts(namespace, id_)
    if not found:
        await _get(context, namespace, id_)
    return json_response({"items": [attempt_answer(attempt) for attempt in found]})


@jobs.patch(
    "/jobs/{id}",
    answers={200: _ONE},
    reads=("If-Match",),
    refuses=(NOT_FOUND, ILLEGAL_MOVE, STALE_VERSION, IF_MATCH_REQUIRED),
)
async def edit(request: web.Request, body: JobPatch) -> web.Response:
    """Change a job.

    It must be PENDING. Needs `If-Match` with the ETag that the job was read with. Only what is given changes.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "job")
    version = version_of(request, "job")
    changes = await _changes(context, namespace, id_, body)
    job = await context.deps.jobs.edit(namespace, id_, version, Edit(changes))
    context.deps.signals.hint(Topic.DUE)
    tell_jobs(context.deps, namespace, [id_], job.state)
    return job_response(job)


async def _changes(context: Context, namespace: str, id_: str, body: JobPatch) -> dict[str, object]:
    if not body.model_fields_set:
        raise InvalidInput.of("body", "holds nothing to change")
    conflicts = list(time_conflicts(body, body.expires_at))
    if conflicts:
        raise InvalidInput(conflicts)
    cleared = {name: getattr(body, name) for name in body.model_fields_set & {"expires_at", "retry_for_seconds"}}
    payload = {} if body.payload is None else {"payload": await _new_payload(context, namespace, id_, body.payload)}
    return {**given_settings(body), **cleared, **payload}


async def _new_payload(context: Context, namespace: str, id_: str, payload: dict[str, object]) -> str:
    text, too_big = payload_text(payload, Census(levels=255).add(payload))
    if too_big:
        raise InvalidInput([too_big])
    job = await _get(context, namespace, id_)
    await context.catalogue.learn([job.handler])
    known = context.catalogue.find(job.handler)
    errors = known.payload_errors(payload) if known else []
    if errors:
        raise InvalidInput(errors)
    return text.decode()


@jobs.post("/jobs/{id}/cancel", answers={200: _ONE}, refuses=(NOT_FOUND, ILLEGAL_MOVE))
async def cancel(request: web.Request) -> web.Response:
    """Cancel a job.

    One that waits is CANCELLED at once. One that runs shows `cancel_requested` and is ended within about a second;
    it ends as its handler did if that was faster. May be repeated.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "job")
    done = await context.deps.jobs.cancel(namespace, [id_])
    job = await job_after(context, namespace, id_)
    if not done:
        raise IllegalMove("cancel", id_, job.state)
    if job.state is State.RUNNING:
        context.deps.signals.hint(Topic.CANCEL)
    tell_jobs(context.deps, namespace, [id_], job.state)
    return job_response(job)


@jobs.post("/jobs/{id}/retry", answers={200: _ONE}, refuses=(NOT_FOUND, ILLEGAL_MOVE))
async def retry(request: web.Request) -> web.Response:
    """Try a job again.

    It must be FAILED or CANCELLED, and is PENDING then; `attempt` goes on counting, the failures start at 0.
    """
    context, namespace, id_ = context_of(request), namespace_of(request), id_of(request, "job")
    done = await context.deps.jobs.retry(namespace, [id_])
    if done:
        context.deps.signals.hint(Topic.DUE)
        tell_jobs(context.deps, namespace, [id_], State.PENDING)
    job = await job_after(context, namespace, id_)
    if not done:
        raise IllegalMove("retry", id_, job.state)
    return job_response(job)


async def _get(context: Context, namespace: str, id_: str) -> Job:
    job = await context.deps.jobs.get(namespace, id_)
    if job is None:
        raise NotFound("job", id_)
    return job


async def job_after(context: Context, namespace: str, id_: str) -> Job:
    """The job after it was changed: if it can't be read now, nobody may say that nothing happened."""
    try:
        return await _get(context, namespace, id_)
    except StoreUnavailable as error:
        raise OutcomeUnknown(str(error)) from error
