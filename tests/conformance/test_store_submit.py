"""T1 over both databases: what a new job looks like, and how often a key makes one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from horae.domain.errors import KeyConflict
from horae.domain.job import Job, NewJob, Priority, State
from horae.domain.retry import Backoff
from horae.store.base import RequestKey, Submitted
from horae.store.sql import Stores
from tests.support.clock import START, ManualClock
from tests.support.factories import new_job
from tests.support.scene import Scene
from tests.support.waiting import together

DAY = 24 * 3600.0
BODY, OTHER_BODY = b"1" * 32, b"2" * 32


def keyed(clock: ManualClock, key: str, body: bytes = BODY, **fields: Any) -> NewJob:
    return new_job(clock, idempotency_key=key, request_hash=body, **fields)


async def count(stores: Stores, namespace: str = "default") -> int:
    return (await stores.jobs.counts(namespace))[State.PENDING]


# ------------------------------------------------------------------------------------------------------- a new job


async def test_a_new_job_is_stored_whole(scene: Scene) -> None:
    new = scene.new(
        handler="mail.send",
        payload='{"to": "Zoë 𝄞", "n": 1}',
        queue="mail",
        priority=Priority.CRITICAL,
        run_at=START + timedelta(days=3, microseconds=1),
        max_retries=7,
        backoff=Backoff("linear", 1.5, 3.0, 60.0, 0.25),
        timeout_seconds=0.5,
        tags=("b", "a"),
        expires_at=START + timedelta(days=4, microseconds=999_999),
        retry_for_seconds=12.5,
        idempotency_key="Schlüssel ",
        request_hash=BODY,
    )
    await scene.stores.jobs.submit("space", [new])
    assert await scene.job(new.id, "space") == Job(
        id=new.id,
        namespace="space",
        handler=new.handler,
        payload=new.payload,
        queue=new.queue,
        priority=new.priority,
        state=State.PENDING,
        token=0,
        attempt=0,
        failures=0,
        losses=0,
        round=0,
        run_at=START + timedelta(days=3, microseconds=1),
        wake_at=START + timedelta(days=3, microseconds=1),
        max_retries=7,
        backoff=new.backoff,
        timeout_seconds=0.5,
        tags=("b", "a"),
        expires_at=new.expires_at,
        retry_for_seconds=12.5,
        idempotency_key="Schlüssel ",
        cancel_requested=False,
        created_at=START,
        first_started_at=None,
        started_at=None,
        finished_at=None,
        worker_id=None,
        result=None,
        error=None,
        progress=None,
        schedule_id=None,
        fire_time=None,
    )


async def test_without_a_time_it_is_due_now_by_the_clock_of_the_database(scene: Scene) -> None:
    scene.clock.turn(0.123456)
    job = await scene.job(await scene.submit())
    assert job.run_at == job.wake_at == job.created_at == START + timedelta(seconds=0.123456)


async def test_a_delay_counts_from_the_clock_of_the_database(scene: Scene) -> None:
    job = await scene.job(await scene.submit(delay_seconds=2.5))
    assert job.run_at == job.wake_at == START + timedelta(seconds=2.5)


async def test_ids_come_in_the_order_asked_for(scene: Scene) -> None:
    new = [scene.new() for _ in range(2500)]
    submitted = await scene.stores.jobs.submit("default", new)
    assert submitted == Submitted([job.id for job in new], [True] * 2500)
    assert await count(scene.stores) == 2500


async def test_nothing_is_submitted_by_an_empty_request(scene: Scene) -> None:
    assert await scene.stores.jobs.submit("default", []) == Submitted([], [])


async def test_a_bulk_is_all_or_nothing(scene: Scene) -> None:
    twice = scene.new()
    await scene.stores.jobs.submit("default", [keyed(scene.clock, "known")])
    with pytest.raises(KeyConflict):
        await scene.stores.jobs.submit("default", [twice, keyed(scene.clock, "known", OTHER_BODY), scene.new()])
    assert await count(scene.stores) == 1


async def test_a_payload_may_look_like_sql(scene: Scene) -> None:
    payload = """{"a": "%s %(id)s ') VALUES ('1', :now) -- \\\\ \\u0000"}"""
    ids = (await scene.stores.jobs.submit("default", [scene.new(payload=payload) for _ in range(3)])).ids
    assert {(await scene.job(id_)).payload for id_ in ids} == {payload}


# ------------------------------------------------------------------------------------------------------------- keys


async def test_the_same_key_and_body_is_the_first_job(stores: Stores, clock: ManualClock) -> None:
    first = await stores.jobs.submit("default", [keyed(clock, "k")])
    clock.turn(DAY - 1)
    again = await stores.jobs.submit("default", [keyed(clock, "k")])
    assert again == Submitted(first.ids, [False])
    assert await count(stores) == 1


async def test_the_same_key_with_another_body_is_a_conflict(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [keyed(clock, "k")])
    with pytest.raises(KeyConflict) as caught:
        await stores.jobs.submit("default", [keyed(clock, "k", OTHER_BODY)])
    assert (caught.value.key, caught.value.index) == ("k", None)
    assert await count(stores) == 1


@pytest.mark.parametrize("body", [BODY, OTHER_BODY])
async def test_a_key_is_forgotten_after_24_hours(stores: Stores, clock: ManualClock, body: bytes) -> None:
    first = await stores.jobs.submit("default", [keyed(clock, "k")])
    clock.turn(DAY)
    second = await stores.jobs.submit("default", [keyed(clock, "k", body)])
    assert second.fresh == [True]
    assert second.ids != first.ids
    assert (await stores.jobs.submit("default", [keyed(clock, "k", body)])).ids == second.ids


async def test_a_key_outlives_its_job(scene: Scene) -> None:
    first = await scene.stores.jobs.submit("default", [keyed(scene.clock, "k")])
    await scene.stores.jobs.cancel("default", first.ids)
    await scene.stores.jobs.delete("default", first.ids)
    assert await scene.stores.jobs.submit("default", [keyed(scene.clock, "k")]) == Submitted(first.ids, [False])


async def test_each_namespace_has_its_own_keys(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("one", [keyed(clock, "k")])
    assert (await stores.jobs.submit("two", [keyed(clock, "k", OTHER_BODY)])).fresh == [True]


@pytest.mark.parametrize("other", ["K", "k ", " k", "ｋ", "k\x00", "é", "e\u0301"])
async def test_keys_differ_where_any_byte_does(stores: Stores, clock: ManualClock, other: str) -> None:
    await stores.jobs.submit("default", [keyed(clock, "k"), keyed(clock, "E\u0301")])
    assert (await stores.jobs.submit("default", [keyed(clock, other, OTHER_BODY)])).fresh == [True]


async def test_a_key_may_have_255_bytes(stores: Stores, clock: ManualClock) -> None:
    first = await stores.jobs.submit("default", [keyed(clock, "ü" * 127)])
    assert (await stores.jobs.submit("default", [keyed(clock, "ü" * 127)])).ids == first.ids


async def test_a_known_key_in_a_bulk_answers_the_old_id_in_its_place(stores: Stores, clock: ManualClock) -> None:
    old = (await stores.jobs.submit("default", [keyed(clock, "old")])).ids[0]
    new = [new_job(clock), keyed(clock, "old"), keyed(clock, "new")]
    submitted = await stores.jobs.submit("default", new)
    assert submitted == Submitted([new[0].id, old, new[2].id], [True, False, True])
    assert await count(stores) == 3


async def test_a_key_repeated_in_a_bulk_makes_one_job(stores: Stores, clock: ManualClock) -> None:
    new = [keyed(clock, "k"), new_job(clock), keyed(clock, "k"), keyed(clock, "k")]
    submitted = await stores.jobs.submit("default", new)
    assert submitted == Submitted([new[0].id, new[1].id, new[0].id, new[0].id], [True, True, False, False])
    assert await count(stores) == 2


async def test_a_conflict_in_a_bulk_names_its_place(stores: Stores, clock: ManualClock) -> None:
    with pytest.raises(KeyConflict) as caught:
        await stores.jobs.submit("default", [new_job(clock), keyed(clock, "k"), keyed(clock, "k", OTHER_BODY)])
    assert (caught.value.key, caught.value.index) == ("k", 2)
    assert await count(stores) == 0


# ---------------------------------------------------------------------------------------------------- request keys


async def test_the_key_of_a_whole_request_answers_all_its_ids(stores: Stores, clock: ManualClock) -> None:
    request = RequestKey("r", BODY)
    first = await stores.jobs.submit("default", [new_job(clock) for _ in range(3)], request)
    again = await stores.jobs.submit("default", [new_job(clock) for _ in range(3)], request)
    assert again == Submitted(first.ids, [False] * 3)
    assert await count(stores) == 3


async def test_the_key_of_a_request_with_another_body_is_a_conflict(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [new_job(clock)], RequestKey("r", BODY))
    with pytest.raises(KeyConflict) as caught:
        await stores.jobs.submit("default", [new_job(clock)], RequestKey("r", OTHER_BODY))
    assert (caught.value.key, caught.value.index) == ("r", None)
    assert await count(stores) == 1


async def test_the_key_of_a_request_is_forgotten_after_24_hours(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [new_job(clock)], RequestKey("r", BODY))
    clock.turn(DAY)
    assert (await stores.jobs.submit("default", [new_job(clock)], RequestKey("r", OTHER_BODY))).fresh == [True]


async def test_the_key_of_a_request_is_no_key_of_a_job(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [new_job(clock), new_job(clock)], RequestKey("k", BODY))
    with pytest.raises(KeyConflict):
        await stores.jobs.submit("default", [keyed(clock, "k")])


async def test_a_job_may_not_have_the_key_of_its_request(stores: Stores, clock: ManualClock) -> None:
    with pytest.raises(KeyConflict) as caught:
        await stores.jobs.submit("default", [new_job(clock), keyed(clock, "k")], RequestKey("k", BODY))
    assert caught.value.index == 1
    assert await count(stores) == 0


async def test_a_request_of_ten_thousand_is_repeatable(stores: Stores, clock: ManualClock) -> None:
    request = RequestKey("r", BODY)
    first = await stores.jobs.submit("default", [new_job(clock, tags=("t",)) for _ in range(10_000)], request)
    again = await stores.jobs.submit("default", [new_job(clock)], request)
    assert again.ids == first.ids
    assert await count(stores) == 10_000


# ------------------------------------------------------------------------------------------------------------ races


async def test_twenty_at_once_with_one_key_make_one_job(stores: Stores, clock: ManualClock) -> None:
    submits = [stores.jobs.submit("default", [keyed(clock, "k")]) for _ in range(20)]
    answers = await together(*submits)
    assert len({answer.ids[0] for answer in answers}) == 1
    assert sum(answer.fresh[0] for answer in answers) == 1
    assert await count(stores) == 1


async def test_twenty_at_once_with_one_expired_key_make_one_job(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [keyed(clock, "k", OTHER_BODY)])
    clock.turn(DAY)
    answers = await together(*(stores.jobs.submit("default", [keyed(clock, "k")]) for _ in range(20)))
    assert sum(answer.fresh[0] for answer in answers) == 1
    assert await count(stores) == 2


async def test_bulks_at_once_with_the_same_keys_in_any_order_make_each_job_once(
    stores: Stores, clock: ManualClock
) -> None:
    names = [f"k{n}" for n in range(30)]
    orders = [names[turn:] + names[:turn] if turn % 2 else names[::-1] for turn in range(10)]
    bulks = [[keyed(clock, name) for name in order] for order in orders]
    answers = await together(*(stores.jobs.submit("default", bulk) for bulk in bulks))
    ids = {frozenset(zip(order, answer.ids, strict=True)) for order, answer in zip(orders, answers, strict=True)}
    assert len(ids) == 1
    assert await count(stores) == 30


async def test_requests_at_once_with_one_key_make_its_jobs_once(stores: Stores, clock: ManualClock) -> None:
    request = RequestKey("r", BODY)
    bulks = [[new_job(clock) for _ in range(5)] for _ in range(20)]
    answers = await together(*(stores.jobs.submit("default", bulk, request) for bulk in bulks))
    assert len({tuple(answer.ids) for answer in answers}) == 1
    assert await count(stores) == 5
