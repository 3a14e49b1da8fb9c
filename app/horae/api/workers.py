"""The worker processes of the installation."""

from __future__ import annotations

from aiohttp import web

from horae.api.answers import WorkersOut, json_response, page_answer, worker_answer
from horae.api.context import context_of
from horae.api.models import ListQuery
from horae.api.paging import page_of
from horae.api.routing import Routes

workers = Routes("workers")


@workers.get("/workers", out=WorkersOut)
async def list_workers(request: web.Request, query: ListQuery) -> web.Response:
    """List workers.

    The live ones and, for an hour, the dead ones; the oldest first.
    """
    found = sorted(await context_of(request).deps.registry.workers(), key=lambda worker: worker.id)
    page, following = page_of(found, lambda worker: worker.id, query.limit, query.cursor, "workers")
    return json_response(page_answer([worker_answer(worker) for worker in page], following))
