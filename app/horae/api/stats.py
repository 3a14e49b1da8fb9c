"""The state of things at a glance."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from horae.api.answers import StatsOut, json_response, queue_answer, states_answer
from horae.api.context import context_of, namespace_of
from horae.api.routing import Routes
from horae.store.base import WorkerInfo

stats = Routes("stats")


@stats.get("/stats", out=StatsOut)
async def show_stats(request: web.Request) -> web.Response:
    """Tell the state of things.

    Counts jobs by state and queue, and the slots of the live workers.
    """
    deps, namespace = context_of(request).deps, namespace_of(request)
    counts, queues, workers = await asyncio.gather(
        deps.jobs.counts(namespace), deps.queues.queues(namespace), deps.registry.workers()
    )
    due = [queue.oldest_due_at for queue in queues if queue.oldest_due_at is not None]
    content = {
        "jobs": states_answer(counts),
        "queues": [queue_answer(queue) for queue in queues],
        "workers": worker_stats(workers),
        "oldest_due_at": min(due, default=None),
    }
    return json_response(content)


def worker_stats(workers: Sequence[WorkerInfo]) -> dict[str, Any]:
    """The live workers together; only those that take new jobs count as free."""
    alive = [worker for worker in workers if worker.state == "ALIVE"]
    return {
        "alive": len(alive),
        "draining": sum(worker.state == "DRAINING" for worker in workers),
        "slots": sum(worker.slots for worker in alive),
        "free": sum(max(worker.slots - worker.running, 0) for worker in alive),
    }
