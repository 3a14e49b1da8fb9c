"""The application: its routes around what it is given."""

from __future__ import annotations

from aiohttp import web

from horae.api.actions import actions
from horae.api.backfills import backfills
from horae.api.body import BULK_BYTES
from horae.api.catalogue import Catalogue
from horae.api.context import CONTEXT, ApiDeps, Context
from horae.api.handlers import handlers
from horae.api.jobs import jobs
from horae.api.ledger import ledger
from horae.api.meta import meta_routes
from horae.api.middleware import around
from horae.api.preview import previews
from horae.api.queues import queues
from horae.api.routing import Route, add_to
from horae.api.schedules import schedules
from horae.api.stats import stats
from horae.api.waiting import Waiters
from horae.api.workers import workers

_TABLES = (jobs, actions, schedules, previews, ledger, backfills, queues, workers, handlers, stats)
RESOURCES: tuple[Route, ...] = tuple(route for table in _TABLES for route in table.routes)


def build_app(deps: ApiDeps) -> web.Application:
    """An application over these stores and signals; nothing is asked of them before the first request."""
    context = Context(deps, Catalogue(deps.registry, deps.clock, deps.handlers), Waiters(deps.signals))
    app = web.Application(middlewares=[around], client_max_size=BULK_BYTES)
    app[CONTEXT] = context
    app.on_shutdown.append(_end_waiting)
    add_to(app.router, routes_of(deps))
    return app


def routes_of(deps: ApiDeps) -> list[Route]:
    """All routes."""
    return [*RESOURCES, *meta_routes(deps.readiness, deps.metrics, RESOURCES)]


async def _end_waiting(app: web.Application) -> None:
    app[CONTEXT].waiters.stop()
