"""Queues: what waits in them, and their pauses."""

from __future__ import annotations

from aiohttp import web

from horae.api.answers import QueueOut, QueuesOut, json_response, page_answer, queue_answer
from horae.api.context import ApiDeps, author_of, context_of, namespace_of
from horae.api.models import ListQuery
from horae.api.news import tell_queue
from horae.api.paging import page_of
from horae.api.routing import Routes
from horae.domain.errors import InvalidInput, OutcomeUnknown, StoreUnavailable
from horae.domain.job import FINAL, State
from horae.runtime.config import NAME
from horae.store.base import QueueInfo

queues = Routes("queues")


@queues.get("/queues", out=QueuesOut)
async def list_queues(request: web.Request, query: ListQuery) -> web.Response:
    """List queues.

    Those that hold jobs, are paused or are served by a live worker, by name.
    """
    namespace = namespace_of(request)
    found = await context_of(request).deps.queues.queues(namespace)
    page, following = page_of(found, lambda queue: queue.name, query.limit, query.cursor, "queues", namespace)
    return json_response(page_answer([queue_answer(queue) for queue in page], following))


@queues.post("/queues/{name}/pause", out=QueueOut)
async def pause(request: web.Request) -> web.Response:
    """Pause a queue.

    None of its jobs starts until it is resumed. May be repeated.
    """
    deps, namespace, name = context_of(request).deps, namespace_of(request), _name(request)
    await deps.queues.pause(namespace, name, author_of(request))
    tell_queue(deps, namespace, name, paused=True)
    return json_response(queue_answer(await _after(deps, namespace, name)))


@queues.post("/queues/{name}/resume", out=QueueOut)
async def resume(request: web.Request) -> web.Response:
    """Resume a queue.

    What is due starts. May be repeated.
    """
    deps, namespace, name = context_of(request).deps, namespace_of(request), _name(request)
    await deps.queues.resume(namespace, name)
    tell_queue(deps, namespace, name, paused=False)
    return json_response(queue_answer(await _after(deps, namespace, name)))


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not NAME.fullmatch(name):
        raise InvalidInput.of("name", f"is not the name of a queue ({NAME.pattern})")
    return name


async def _after(deps: ApiDeps, namespace: str, name: str) -> QueueInfo:
    """The queue after it was changed; one that nobody uses is nowhere listed."""
    try:
        found = await deps.queues.queues(namespace)
    except StoreUnavailable as error:
        raise OutcomeUnknown(str(error)) from error
    depth = {state: 0 for state in State if state not in FINAL}
    unused = QueueInfo(name, paused=False, paused_by=None, paused_at=None, depth=depth, oldest_due_at=None)
    return next((queue for queue in found if queue.name == name), unused)
