from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from horae.domain.job import State
from horae.domain.transitions import FAIL_FOR_GOOD
from horae.store.base import JobFilter
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, fields_of, get, post, submit
from tests.support.clock import ManualClock
from tests.support.factories import new_job
from tests.support.scene import BROKEN, Scene


async def pages(client: Client, **query: Any) -> AsyncIterator[list[Json]]:
    cursor: str | None = None
    while True:
        page = await get(client, JOBS, params=query | ({"cursor": cursor} if cursor else {}))
        assert set(page) == {"items", "next_cursor"}
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


async def ids(client: Client, **query: Any) -> list[str]:
    return [job["id"] async for page in pages(client, **query) for job in page]


async def test_the_newest_come_first_in_pages_of_fifty(client: Client) -> None:
    made = (await post(client, f"{JOBS}/bulk", {"jobs": [{"handler": "echo"}] * 120}, 201))["ids"]
    sizes = [len(page) async for page in pages(client)]
    assert sizes == [50, 50, 20]
    assert await ids(client) == made[::-1]


@pytest.mark.parametrize("limit", [1, 3, 4, 200])
async def test_the_last_page_has_no_cursor(client: Client, limit: int) -> None:
    made = (await post(client, f"{JOBS}/bulk", {"jobs": [{"handler": "echo"}] * 4}, 201))["ids"]
    assert await ids(client, limit=limit) == made[::-1]


async def test_five_hundred_are_paged_through_while_others_arrive(client: Client) -> None:
    made = (await post(client, f"{JOBS}/bulk", {"jobs": [{"handler": "echo"}] * 500}, 201))["ids"]
    seen: list[str] = []
    async for page in pages(client, limit=37):
        seen += [job["id"] for job in page]
        await asyncio.gather(*(submit(client) for _ in range(3)))
    assert [id_ for id_ in seen if id_ in set(made)] == made[::-1]
    assert len(seen) == len(set(seen))


async def test_filters_narrow(client: Client, scene: Scene) -> None:
    blue = await scene.submit(tags=("blue", "x"), queue="mail", handler="mail.send")
    await scene.turn(60)
    failed = (await scene.reach(State.FAILED)).id
    await scene.turn(60)
    done = (await scene.reach(State.SUCCESS)).id
    middle = scene.at(-60).isoformat().replace("+00:00", "Z")
    assert await ids(client, state="FAILED") == [failed]
    assert await ids(client, state="FAILED,PENDING") == [failed, blue]
    assert await ids(client, state=["SUCCESS", "PENDING"]) == [done, blue]
    assert (
        await ids(client, queue="mail")
        == await ids(client, handler="mail.send")
        == await ids(client, tag="blue")
        == [blue]
    )
    assert await ids(client, created_after=middle) == [done, failed]
    assert await ids(client, created_before=middle) == [blue]
    assert await ids(client, created_after=middle, state="SUCCESS", queue="default") == [done]
    assert await ids(client, schedule_id="01a20acf-fe4b-7561-b550-6078429ff770") == []


async def test_q_finds_ids_handlers_tags_and_errors(client: Client, scene: Scene) -> None:
    mail = await scene.submit(handler="mail.send", tags=("urgent",))
    run = await scene.run()
    await scene.finish(run.reference, FAIL_FOR_GOOD, error=BROKEN)
    for text, found in {
        mail: mail,
        "mail.": mail,
        "urgent": mail,
        "broken": run.id,
        "ValueError broken": run.id,
    }.items():
        assert await ids(client, q=text) == [found]
    assert await ids(client, q="no such words") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=6", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("state=DONE", "state.0"),
        ("state=failed", "state.0"),
        ("state=", "state.0"),
        ("state=FAILED,", "state.1"),
        ("state=FAILED&state=x", "state.1"),
        ("queue=A", "queue"),
        ("queue=", "queue"),
        ("queue=a&queue=b", "queue"),
        ("handler=%00", "handler"),
        ("tag=a%20b", "tag"),
        ("schedule_id=7", "schedule_id"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-01-31T09:30:00+02:00", "created_after"),
        ("created_before=1767225600", "created_before"),
        ("q=", "q"),
        ("q=%20%20", "q"),
        ("q=a%09b", "q"),
        ("q=" + "x" * 201, "q"),
        ("q=%ff%fe", "q"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("page=2", "page"),
        ("sort=id", "sort"),
        ("State=FAILED", "State"),
        ("namespace=other", "namespace"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(client: Client, query: str, field: str) -> None:
    assert field in fields_of(await get(client, f"{JOBS}?{query}", 422))


async def test_a_cursor_is_good_for_its_filter_only(client: Client) -> None:
    await post(client, f"{JOBS}/bulk", {"jobs": [{"handler": "echo", "tags": ["a"]}] * 3}, 201)
    cursor = (await get(client, JOBS, params={"limit": 1}))["next_cursor"]
    assert (await get(client, JOBS, params={"cursor": cursor, "limit": 2}))["next_cursor"] is None
    problem = await get(client, JOBS, 422, params={"cursor": cursor, "tag": "a"})
    assert set(fields_of(problem)) == {"cursor"}


INJECTIONS = [
    "' OR 1=1 --", '" OR ""="', "'; DROP TABLE jobs; --", "1; SELECT pg_sleep(5)", "%' AND SLEEP(5) AND '%'='",
    "\\' OR 1=1 #", "%", "_", "%%%", "\\", "\\%", "' UNION SELECT * FROM idempotency_keys --", "0x27", "*/ OR 1=1 /*",
    "admin'--", "${7*7}", "{{7*7}}", "'||(SELECT 1)||'", "`jobs`", "?", ":1", "%s", "%(x)s", "NULL", "\u2019 OR 1=1",
]  # fmt: skip
PARAMETERS = [
    "q",
    "state",
    "queue",
    "handler",
    "tag",
    "schedule_id",
    "created_after",
    "created_before",
    "cursor",
    "limit",
]


@pytest.mark.parametrize("parameter", PARAMETERS)
async def test_no_parameter_reaches_the_statement(client: Client, scene: Scene, parameter: str) -> None:
    await scene.submit()
    await scene.reach(State.FAILED)
    for text in INJECTIONS:
        response = await client.get(JOBS, params={parameter: text})
        assert response.status == 422 or (await response.json())["items"] == [], text
    assert await scene.stores.jobs.count("default", JobFilter()) == 2


async def test_other_namespaces_are_not_seen(client: Client, stores: Stores, clock: ManualClock) -> None:
    foreign = new_job(clock)
    await stores.jobs.submit("other", [foreign])
    assert await ids(client) == []
    await get(client, f"{JOBS}/{foreign.id}", 404)
    await post(client, f"{JOBS}/{foreign.id}/cancel", status=404)
    await get(client, f"{JOBS}/{foreign.id}/attempts", 404)
    job = await stores.jobs.get("other", foreign.id)
    assert job is not None
    assert job.state is State.PENDING
