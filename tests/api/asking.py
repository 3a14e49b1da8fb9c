"""Shorthands for asking the api."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from tests.api.contract import check

JOBS = "/api/v1/jobs"

Client = TestClient[web.Request, web.Application]
Json = dict[str, Any]


async def answer_of(response: ClientResponse, status: int = 200) -> Json:
    """The JSON of an answer, which must have this status and be as documented."""
    assert response.status == status, await response.text()
    content: Json = await response.json(content_type=None)
    check(response, content)
    return content


async def get(client: Client, path: str, status: int = 200, **options: Any) -> Json:
    """Reads."""
    return await answer_of(await client.get(path, **options), status)


async def post(client: Client, path: str, body: object = None, status: int = 200, **options: Any) -> Json:
    """Sends JSON, or nothing."""
    if body is not None:
        options["json"] = body
    return await answer_of(await client.post(path, **options), status)


async def send(client: Client, path: str, raw: bytes, content_type: str = "application/json") -> ClientResponse:
    """Posts these very bytes."""
    return await client.post(path, data=BytesIO(raw), headers={"Content-Type": content_type})


async def submit(client: Client, handler: str = "echo", *, status: int = 201, **fields: Any) -> Json:
    """Submits a job."""
    return await post(client, JOBS, {"handler": handler, **fields}, status)


def fields_of(problem: Json) -> dict[str, str]:
    """The wrong fields that a problem names."""
    return {error["field"]: error["message"] for error in problem.get("errors", [])}


def problem_of(problem: Json) -> str:
    """What kind of problem it is."""
    kind = str(problem["type"])
    assert kind.startswith("urn:horae:problem:")
    return kind.removeprefix("urn:horae:problem:")
