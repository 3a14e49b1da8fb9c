"""One action over every job that a filter finds, a part with each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from aiohttp import web

from horae.api.answers import ActionOut, json_response
from horae.api.context import ApiDeps, context_of, namespace_of
from horae.api.jobs import list_scope
from horae.api.models import ActionIn
from horae.api.news import tell_jobs
from horae.api.paging import cursor_after, id_position
from horae.api.problems import COUNT_DIFFERS
from horae.api.routing import Routes
from horae.domain.errors import CountDiffers
from horae.domain.job import State
from horae.signals.base import Topic
from horae.store.base import JobFilter, JobStore

actions = Routes("jobs")

JOBS_A_CALL = 1_000
JOBS_AT_ONCE = 200
"""in one transaction, and in memory"""

Move = Callable[[str, Collection[str]], Awaitable[frozenset[str]]]


@dataclass(slots=True)
class _Tally:
    """What a call has done so far; `before` is the last job that it looked at, None at the start of the list."""

    before: str | None
    matched: int = 0
    done: int = 0
    complete: bool = False


@actions.post("/jobs/actions", out=ActionOut, refuses=(COUNT_DIFFERS,))
async def act(request: web.Request, body: ActionIn) -> web.Response:
    """Act on every job that a filter finds.

    The first call counts what the filter finds and answers 409 with the true count if `expected_count` differs. Each
    call handles up to 1,000 jobs, newest first; repeat it with `cursor` set to `next_cursor` until that is null.
    `matched` is how many jobs this call looked at, `refused` how many of them their state kept as they were.
    """
    deps, namespace, where = context_of(request).deps, namespace_of(request), body.filter.as_filter()
    scope = (body.action, *list_scope(namespace, where))
    before = None if body.cursor is None else id_position(body.cursor, *scope)
    if before is None:
        await _check_count(deps.jobs, namespace, where, body.expected_count)
    tally = await _handle(deps, namespace, where, body.action, _Tally(before))
    following = None if tally.complete or tally.before is None else cursor_after(tally.before, *scope)
    refused = tally.matched - tally.done
    return json_response({"matched": tally.matched, "done": tally.done, "refused": refused, "next_cursor": following})


async def _check_count(jobs: JobStore, namespace: str, where: JobFilter, expected: int | None) -> None:
    found = await jobs.count(namespace, where)
    if found != expected:
        raise CountDiffers(expected, found)


async def _handle(deps: ApiDeps, namespace: str, where: JobFilter, action: str, tally: _Tally) -> _Tally:
    while tally.matched < JOBS_A_CALL and not tally.complete:
        found = [job.id for job in await deps.jobs.page(namespace, where, JOBS_AT_ONCE, tally.before)]
        done = await _mover(deps.jobs, action)(namespace, found) if found else frozenset[str]()
        _tell(deps, namespace, action, done)
        tally.matched += len(found)
        tally.done += len(done)
        tally.before = found[-1] if found else tally.before
        tally.complete = len(found) < JOBS_AT_ONCE
    return tally


def _mover(jobs: JobStore, action: str) -> Move:
    return {"cancel": jobs.cancel, "retry": jobs.retry, "delete": jobs.delete}[action]


_STATES = {"cancel": State.CANCELLED, "retry": State.PENDING, "delete": None}
_TOPICS = {"cancel": Topic.CANCEL, "retry": Topic.DUE}


def _tell(deps: ApiDeps, namespace: str, action: str, done: Collection[str]) -> None:
    if not done:
        return
    if action in _TOPICS:
        deps.signals.hint(_TOPICS[action])
    tell_jobs(deps, namespace, done, _STATES[action])
