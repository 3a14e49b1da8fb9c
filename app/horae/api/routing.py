"""One table of routes, of which both the router and the OpenAPI document are made.

A route's handler says by the annotations of its parameters what it reads: `query: Model` and `body: Model` are checked
before it is called, `body: Unchecked[Model]` is only parsed. Its docstring is the documentation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from horae.api.body import BODY_BYTES, Unchecked, check_text, read_json, refuse_body
from horae.api.problems import Kind
from horae.api.validation import checked, query_of, refuse_query

API = "/api/v1"

Handler = Callable[..., Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Answer:
    """A success as documented: the model of its JSON, or another media type, or nothing at all."""

    model: type[BaseModel] | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One address and method. `reads` are the headers that it looks at, `refuses` the problems of its own."""

    method: str
    path: str
    handler: Handler
    tag: str
    answers: Mapping[int, Answer]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    parse_only: bool = False
    limit: int = BODY_BYTES
    reads: tuple[str, ...] = ()
    refuses: tuple[Kind, ...] = ()
    documentation: str | None = None
    """in place of the handler's docstring"""

    @property
    def takes_body(self) -> bool:
        """Whether the method carries one."""
        return self.method not in ("GET", "HEAD")

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self._lines()[0]

    @property
    def description(self) -> str:
        """The rest of it."""
        return " ".join(self._lines()[1:]).strip()

    def _lines(self) -> list[str]:
        text = self.documentation or inspect.getdoc(self.handler) or self.handler.__name__
        return [line.strip() for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of one file."""

    tag: str
    prefix: str = API
    routes: list[Route] = field(default_factory=list)

    def get(self, path: str, **options: Any) -> Callable[[H], H]:
        """Adds a route that reads."""
        return self._route("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[H], H]:
        """Adds a route that does something."""
        return self._route("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[H], H]:
        """Adds a route that changes something."""
        return self._route("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[H], H]:
        """Adds a route that takes something away."""
        return self._route("DELETE", path, **options)

    def _route(
        self,
        method: str,
        path: str,
        *,
        out: type[BaseModel] | None = None,
        status: int = 200,
        answers: Mapping[int, Answer] | None = None,
        **options: Any,
    ) -> Callable[[H], H]:
        def add(handler: H) -> H:
            said = answers or {status: Answer(out)}
            reads = _what_it_reads(handler)
            self.routes.append(Route(method, self.prefix + path, handler, self.tag, said, **reads, **options))
            return handler

        return add


def _what_it_reads(handler: Handler) -> dict[str, Any]:
    hints = get_type_hints(handler)
    body = hints.get("body")
    parse_only = get_origin(body) is Unchecked
    return {"query": hints.get("query"), "body": get_args(body)[0] if parse_only else body, "parse_only": parse_only}


def add_to(router: web.UrlDispatcher, routes: list[Route]) -> None:
    """Makes them known to the router; whatever can be read can also be asked for by HEAD."""
    paths = {route.path for route in routes}
    for route in routes:
        path, endpoint = _pattern(route.path, paths), _endpoint(route)
        if route.method == "GET":
            router.add_get(path, endpoint)
        else:
            router.add_route(route.method, path, endpoint)


def _pattern(path: str, paths: set[str]) -> str:
    """The path for the router. A name at its end isn't that of a fixed neighbour: `GET /jobs/bulk` is a 405."""
    parent, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path
    others = (other.rpartition("/") for other in sorted(paths - {path}))
    neighbours = [re.escape(name) for start, _, name in others if start == parent]
    excluded = f"(?!(?:{'|'.join(neighbours)})$)" if neighbours else ""
    return f"{parent}/{last[:-1]}:{excluded}[^/]+}}"


def _endpoint(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        arguments: dict[str, Any] = {}
        if route.query is not None:
            arguments["query"] = query_of(request, route.query)
        elif route.path.startswith(API):
            refuse_query(request)
        if route.body is not None:
            arguments["body"] = await _body(request, route, route.body)
        elif route.takes_body:
            await refuse_body(request)
        return await route.handler(request, **arguments)

    return endpoint


async def _body(request: web.Request, route: Route, model: type[BaseModel]) -> object:
    given = await read_json(request, route.limit)
    if route.parse_only:
        return given
    await check_text(given)
    return checked(model, given.value)
