"""The OpenAPI 3.1 document, made of the same routes and models that serve the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

import horae
from horae.api.answers import ProblemOut
from horae.api.models import DESCRIBED_BY
from horae.api.problems import (
    INTERNAL,
    INVALID,
    MALFORMED,
    MEDIA_TYPE,
    NOT_READY,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    SCHEMA_BEHIND,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA,
    Kind,
)
from horae.api.routing import API, Answer, Route

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_NAME_SCHEMA = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
_ID_SCHEMA = {"type": "string", "format": "uuid"}
_PATH_SCHEMAS: Mapping[str, Json] = {"id": _ID_SCHEMA, "backfill_id": _ID_SCHEMA, "name": _NAME_SCHEMA}
_REQUEST_HEADERS: Mapping[str, Json] = {
    "Idempotency-Key": {
        "required": False,
        "description": "the same key and body are carried out once in 24 hours",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "If-Match": {
        "required": True,
        "description": "the ETag that it was read with",
        "schema": {"type": "string", "examples": ['"3"']},
    },
}
_ANSWER_HEADERS: Mapping[str, Json] = {
    "Location": {"description": "where it is read", "schema": {"type": "string", "format": "uri-reference"}},
    "ETag": {"description": "its version, for If-Match", "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds", "schema": {"type": "integer"}},
    "X-Request-Id": {"description": "what the log calls this request", "schema": {"type": "string"}},
}
_PHRASES = {200: "done", 201: "stored", 204: "gone"}
_OF_ALL = (INVALID, INTERNAL)
_OF_API = (UNAVAILABLE, OUTCOME_UNKNOWN, NOT_READY, SCHEMA_BEHIND, OVERLOADED)
_OF_BODIES = (MALFORMED, TOO_SLOW, TOO_LARGE, UNSUPPORTED_MEDIA)


class _Schemas(GenerateJsonSchema):
    """JSON schemas without noise: no titles made of names, no null as the default of what can't be null."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leaves the default None out."""
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def any_schema(self, schema: core_schema.AnySchema) -> JsonSchemaValue:
        """Shows the model that the value will be checked against later."""
        model = schema.get("metadata", {}).get(DESCRIBED_BY)
        return self.generate_inner(model.__pydantic_core_schema__) if model else super().any_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - asked so by pydantic
        """Never."""
        return False


def document(routes: Sequence[Route]) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Horae",
            "version": horae.__version__,
            "summary": "A distributed job scheduler.",
            "description": "Times are RFC 3339 in UTC, ids are UUIDs of version 7, errors are RFC 9457 problems.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": _paths(routes),
        "components": {
            "schemas": _schemas(routes),
            "headers": dict(_ANSWER_HEADERS),
        },
    }


def _paths(routes: Sequence[Route]) -> Json:
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_header_parameters(route), *_query_parameters(route)],
        "responses": {**_successes(route), **_problems(route)},
    }
    if route.description:
        operation["description"] = route.description
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content("application/json", route.body)}
    return operation


def _path_parameters(route: Route) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, {"type": "string"})}


def _header_parameters(route: Route) -> Iterator[Json]:
    for name in route.reads:
        yield {"name": name, "in": "header", **_REQUEST_HEADERS[name]}


def _query_parameters(route: Route) -> Iterator[Json]:
    if route.query is None:
        return
    schema = route.query.model_json_schema(schema_generator=_Schemas)
    for name, field in schema["properties"].items():
        description = field.pop("description", None)
        said = {"description": description} if description else {}
        yield {"name": name, "in": "query", "required": False, **said, "schema": field}


def _successes(route: Route) -> Json:
    return {str(status): _success(status, answer) for status, answer in route.answers.items()}


def _success(status: int, answer: Answer) -> Json:
    said = {"description": _PHRASES.get(status, "done"), "headers": _headers("X-Request-Id", *answer.headers)}
    return said if answer.empty else {**said, "content": _content(answer.media_type, answer.model)}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(media_type: str, model: type[BaseModel] | None) -> Json:
    schema = {"$ref": _REF.format(model=model.__name__)} if model else {"type": "string"}
    return {media_type: {"schema": schema if model or "json" not in media_type else {"type": "object"}}}


def _problems(route: Route) -> Json:
    by_status: dict[int, list[Kind]] = {}
    for kind in dict.fromkeys(_kinds(route)):
        by_status.setdefault(kind.status, []).append(kind)
    answers = {str(status): _problem(kinds) for status, kinds in sorted(by_status.items())}
    return {**answers, "default": _problem([])}


def _kinds(route: Route) -> Iterable[Kind]:
    yield from _OF_ALL
    yield from route.refuses
    if route.path.startswith(API):
        yield from _OF_API
    if route.takes_body:
        yield from _OF_BODIES


def _problem(kinds: Sequence[Kind]) -> Json:
    return {
        "description": "; ".join(f"{kind.title} (`{kind.urn}`)" for kind in kinds) or "any other problem",
        "headers": _headers("X-Request-Id", *_headers_of(kinds)),
        "content": _content(MEDIA_TYPE, ProblemOut),
    }


def _headers_of(kinds: Sequence[Kind]) -> Iterator[str]:
    if any(kind.status == 503 for kind in kinds):
        yield "Retry-After"
    if any(kind.status == 412 for kind in kinds):
        yield "ETag"


def _schemas(routes: Sequence[Route]) -> Json:
    read = [route.body for route in routes if route.body is not None]
    answers = [answer for route in routes for answer in route.answers.values()]
    written: list[type[BaseModel]] = [*(answer.model for answer in answers if answer.model is not None), ProblemOut]
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in dict.fromkeys(read)]
    wanted += [(model, "serialization") for model in dict.fromkeys(written)]
    _, schema = models_json_schema(wanted, ref_template=_REF, schema_generator=_Schemas)
    definitions: Json = schema["$defs"]
    return dict(sorted(definitions.items()))
