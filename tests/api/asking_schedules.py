"""Shorthands for asking the api about schedules."""

from __future__ import annotations

from typing import Any

from tests.api.asking import Client, Json, answer_of, get, post

API = "/api/v1"
SCHEDULES = f"{API}/schedules"
LEDGER = f"{API}/occurrences"

NOBODY = "01a20acf-fe4b-7561-b550-6078429ff770"


def a_schedule(**fields: Any) -> Json:
    """What is sent to create one that fires every hour; None leaves a field out."""
    whole = {"name": "nightly", "cron": "0 * * * *", "job": {"handler": "echo"}, **fields}
    if "interval_seconds" in fields and "cron" not in fields:
        del whole["cron"]
    return {name: value for name, value in whole.items() if value is not None}


async def create(client: Client, *, status: int = 201, **fields: Any) -> Json:
    """Creates a schedule."""
    return await post(client, SCHEDULES, a_schedule(**fields), status)


async def show(client: Client, schedule: Json, status: int = 200) -> Json:
    """Reads it again."""
    return await get(client, f"{SCHEDULES}/{schedule['id']}", status)


async def change(client: Client, schedule: Json, *, version: object = ..., status: int = 200, **fields: Any) -> Json:
    """Changes it, by default as it was read; version None sends no If-Match."""
    given = f'"{schedule["version"]}"' if version is ... else version
    headers = {} if given is None else {"If-Match": str(given)}
    response = await client.patch(f"{SCHEDULES}/{schedule['id']}", json=fields, headers=headers)
    return await answer_of(response, status)


async def act(client: Client, schedule: Json, action: str, status: int = 200) -> Json:
    """Pauses, resumes or triggers it."""
    return await post(client, f"{SCHEDULES}/{schedule['id']}/{action}", status=status)


async def history(client: Client, schedule: Json) -> list[Json]:
    """What was done to it, newest first."""
    items: list[Json] = (await get(client, f"{SCHEDULES}/{schedule['id']}/history"))["items"]
    return items
