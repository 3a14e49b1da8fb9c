"""Holds every answer that a test gets against the OpenAPI document."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from aiohttp import ClientResponse
from jsonschema_rs import Draft202012Validator

from horae.api.application import RESOURCES
from horae.api.meta import meta_routes
from horae.api.openapi import document
from horae.api.routing import Route
from horae.runtime.health import Readiness
from horae.runtime.metrics import Metrics

Json = dict[str, Any]

NOT_ALWAYS = ("ETag", "Retry-After")
"""on problems: only some kinds of their status have them"""

ROUTES: list[Route] = [*RESOURCES, *meta_routes(Readiness(["api"]), Metrics(), RESOURCES)]
DOCUMENT: Json = document(ROUTES)


def check(response: ClientResponse, content: object) -> None:
    """The answer must be documented: its status, its headers, its media type and every member of it."""
    operation = _operation(response.method, response.url.raw_path)
    if operation is None:
        assert response.status in (404, 405)
        validator("ProblemOut").validate(content)
        return
    answers = operation["responses"]
    assert str(response.status) in answers, f"{response.method} {response.url.path}: {response.status} isn't documented"
    answer = answers[str(response.status)]
    assert response.content_type in answer.get("content", [response.content_type])
    missing = [name for name in answer["headers"] if name not in response.headers and name not in NOT_ALWAYS]
    assert not missing, f"documented, but not sent: {missing}"
    schema = answer["content"][response.content_type]["schema"] if "content" in answer else {}
    if "$ref" in schema:
        validator(schema["$ref"].split("/")[-1]).validate(content)


@cache
def validator(model: str) -> Draft202012Validator:
    """Checks JSON against a model of the document."""
    schema = {"$ref": f"#/components/schemas/{model}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema, validate_formats=True)


def _operation(method: str, path: str) -> Json | None:
    for template in sorted(DOCUMENT["paths"], key=lambda each: "{" in each):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            found: Json | None = DOCUMENT["paths"][template].get(method.lower())
            if found is not None:
                return found
    return None
