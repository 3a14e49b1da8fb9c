"""Everything outside `/api/v1` but the dashboard: health, metrics, the OpenAPI document and the page that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import cast

import orjson
from aiohttp import web

from horae.api.openapi import document
from horae.api.problems import NOT_FOUND
from horae.api.routing import Answer, Handler, Route, Routes
from horae.runtime.health import Readiness, health_routes
from horae.runtime.metrics import Metrics

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"docs.js": "text/javascript", "docs.css": "text/css", "docs.html": "text/html"}

docs = Routes("meta", prefix="")


@docs.get("/docs", answers={200: Answer(media_type="text/html")})
async def show_docs(_request: web.Request) -> web.Response:
    """Read this document as a page."""
    return _file("docs.html")


@docs.get("/docs/{file}", answers={200: Answer(media_type="text/*")}, refuses=(NOT_FOUND,))
async def show_docs_file(request: web.Request) -> web.Response:
    """Script and style of that page."""
    name = request.match_info["file"]
    if name not in _TYPES:
        raise web.HTTPNotFound
    return _file(name)


def _file(name: str) -> web.Response:
    content = (files("horae.api") / "docs" / name).read_bytes()
    headers = {"Content-Security-Policy": CSP, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
    return web.Response(body=content, content_type=_TYPES[name], charset="utf-8", headers=headers)


def meta_routes(readiness: Readiness, metrics: Metrics, others: Sequence[Route]) -> list[Route]:
    """The routes of this file; the document is about them and the others, and is written once."""
    described = [*_health(readiness, metrics), *docs.routes]
    own = Routes("meta", prefix="")
    text = bytearray()

    @own.get("/openapi.json", answers={200: Answer()})
    async def show_openapi(_request: web.Request) -> web.Response:
        """Read this document."""
        return web.Response(body=bytes(text), content_type="application/json")

    routes = [*described, *own.routes]
    text += orjson.dumps(document([*others, *routes]))
    return routes


_HEALTH = {
    "/healthz": ("Whether the process is alive.", {200: Answer()}),
    "/readyz": ("Whether the process can serve, and what it lacks.", {200: Answer(), 503: Answer()}),
    "/metrics": ("Metrics for Prometheus.", {200: Answer(media_type="text/plain")}),
}


def _health(readiness: Readiness, metrics: Metrics) -> list[Route]:
    return [_health_route(route) for route in health_routes(readiness, metrics)]


def _health_route(route: web.RouteDef) -> Route:
    documentation, answers = _HEALTH[route.path]
    handler = cast("Handler", route.handler)
    return Route(route.method, route.path, handler, "meta", answers, documentation=documentation)
