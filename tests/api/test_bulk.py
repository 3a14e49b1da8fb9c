from __future__ import annotations

import asyncio

import orjson
import pytest

from horae.api.body import BULK_BYTES
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import JobFilter
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, answer_of, fields_of, get, post, problem_of, send, submit
from tests.support.signals import Listener, first

BULK = f"{JOBS}/bulk"
KEY = "Idempotency-Key"


def jobs(count: int, **fields: object) -> list[Json]:
    return [{"handler": "echo", "payload": {"n": number}, **fields} for number in range(count)]


async def count(stores: Stores) -> int:
    return await stores.jobs.count("default", JobFilter())


async def test_the_ids_come_in_the_order_of_the_jobs(client: Client, stores: Stores) -> None:
    ids = (await post(client, BULK, {"jobs": jobs(120)}, 201))["ids"]
    assert ids == sorted(ids)
    assert await count(stores) == 120
    assert [(await get(client, f"{JOBS}/{ids[n]}"))["payload"] for n in (0, 57, 119)] == [
        {"n": 0},
        {"n": 57},
        {"n": 119},
    ]


async def test_ten_thousand_are_taken_and_one_more_is_not(client: Client, stores: Stores) -> None:
    assert len((await post(client, BULK, {"jobs": jobs(10_000)}, 201))["ids"]) == 10_000
    problem = await post(client, BULK, {"jobs": jobs(10_001)}, 422)
    assert set(fields_of(problem)) == {"jobs"}
    assert await count(stores) == 10_000


async def test_one_hint_and_the_sum_are_told(client: Client, signals: InProcessSignals) -> None:
    due = Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:
        await post(client, BULK, {"jobs": jobs(51)}, 201)
        event = await first(events)
    assert due.woken == 1
    assert dict(event.data) == {"count": 51, "state": "PENDING"}


async def test_one_bad_job_refuses_all_and_is_named_by_its_place(client: Client, stores: Stores) -> None:
    many = jobs(300)
    many[217] = {"handler": "sleep", "payload": {"seconds": "x"}, "colour": "red"}
    problem = await post(client, BULK, {"jobs": many}, 422)
    assert set(fields_of(problem)) == {"jobs.217.payload.seconds", "jobs.217.colour"}
    assert await count(stores) == 0


async def test_at_most_a_hundred_errors_are_named(client: Client) -> None:
    problem = await post(client, BULK, {"jobs": [{"handler": f"nope{n}"} for n in range(5000)]}, 422)
    assert len(problem["errors"]) == 100
    assert problem["errors"][7]["field"] == "jobs.7.handler"


async def test_the_requests_key_covers_all(client: Client, stores: Stores) -> None:
    first_ids = await post(client, BULK, {"jobs": jobs(5)}, 201, headers={KEY: "all"})
    assert await post(client, BULK, {"jobs": jobs(5)}, 200, headers={KEY: "all"}) == first_ids
    problem = await post(client, BULK, {"jobs": jobs(6)}, 409, headers={KEY: "all"})
    assert problem_of(problem) == "key-conflict"
    assert set(fields_of(problem)) == {"idempotency_key"}
    assert await count(stores) == 5


async def test_many_at_once_with_one_key_make_the_jobs_once(client: Client, stores: Stores) -> None:
    body = {"jobs": jobs(20)}
    answers = await asyncio.gather(*(client.post(BULK, json=body, headers={KEY: "race"}) for _ in range(10)))
    assert sorted(response.status for response in answers) == [200] * 9 + [201]
    assert len({tuple((await response.json())["ids"]) for response in answers}) == 1
    assert await count(stores) == 20


async def test_a_known_key_of_one_job_answers_its_old_id_in_place(client: Client, stores: Stores) -> None:
    old = await submit(client, payload={"n": 1}, idempotency_key="one")
    many = jobs(3)
    many[1]["idempotency_key"] = "one"
    ids = (await post(client, BULK, {"jobs": many}, 201))["ids"]
    assert ids[1] == old["id"]
    assert len(set(ids)) == 3
    assert await count(stores) == 3


async def test_a_conflicting_key_of_one_job_refuses_all(client: Client, stores: Stores) -> None:
    await submit(client, payload={"other": True}, idempotency_key="one")
    many = jobs(3)
    many[2]["idempotency_key"] = "one"
    problem = await post(client, BULK, {"jobs": many}, 409)
    assert set(fields_of(problem)) == {"jobs.2.idempotency_key"}
    assert await count(stores) == 1


async def test_a_bulk_of_known_jobs_only_is_answered_200(client: Client) -> None:
    many = [{"handler": "echo", "idempotency_key": f"k{n}"} for n in range(3)]
    assert await post(client, BULK, {"jobs": many}, 201) == await post(client, BULK, {"jobs": many}, 200)


async def test_a_body_of_megabytes_is_taken(client: Client, stores: Stores) -> None:
    many = jobs(200, tags=["big"])
    for job in many:
        job["payload"] = {"text": "x" * 60_000}
    answer = await answer_of(await send(client, BULK, orjson.dumps({"jobs": many})), 201)
    assert len(answer["ids"]) == await count(stores) == 200


async def test_a_body_beyond_32_mib_is_refused(client: Client) -> None:
    response = await send(client, BULK, b" " * (BULK_BYTES + 1))
    assert set(fields_of(await answer_of(response, 413))) == {"body"}


@pytest.mark.parametrize("filling", [b"[],", b'{"a":1},'])
async def test_a_body_of_millions_of_things_is_refused_before_it_is_built(client: Client, filling: bytes) -> None:
    body = b'{"jobs":[{"handler":"echo","payload":{"a":[' + filling * 2_000_100 + b"1]}}]}"
    response = await send(client, BULK, body)
    assert set(fields_of(await answer_of(response, 413))) == {"body"}


async def test_the_loop_goes_on_while_a_bulk_is_checked(client: Client) -> None:
    bulk = asyncio.create_task(send(client, BULK, orjson.dumps({"jobs": jobs(10_000)})))
    answered = 0
    while not bulk.done():
        await get(client, "/healthz")
        answered += 1
    assert (await bulk).status == 201
    assert answered > 20
