from __future__ import annotations

from typing import Any

import pytest

from horae.domain.job import State
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import JobFilter
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, fields_of, get, post, problem_of
from tests.support.scene import Scene
from tests.support.signals import Listener

ACTIONS = f"{JOBS}/actions"


async def act(client: Client, action: str, where: Json, expected: int | None, status: int = 200, **more: Any) -> Json:
    said = {} if expected is None else {"expected_count": expected}
    return await post(client, ACTIONS, {"action": action, "filter": where, **said, **more}, status)


async def states(stores: Stores) -> dict[str, int]:
    return {state.value: count for state, count in (await stores.jobs.counts("default")).items() if count}


async def bulk(client: Client, count: int, **fields: Any) -> list[str]:
    found: list[str] = (await post(client, f"{JOBS}/bulk", {"jobs": [{"handler": "echo", **fields}] * count}, 201))[
        "ids"
    ]
    return found


async def test_an_action_goes_over_all_that_the_filter_finds(client: Client, stores: Stores, scene: Scene) -> None:
    await bulk(client, 30, tags=["old"])
    await bulk(client, 5)
    answer = await act(client, "cancel", {"tag": "old"}, 30)
    assert answer == {"matched": 30, "done": 30, "refused": 0, "next_cursor": None}
    assert await states(stores) == {"CANCELLED": 30, "PENDING": 5}


@pytest.mark.parametrize("expected", [None, 0, 2, 4])
async def test_another_count_touches_nothing(client: Client, stores: Stores, expected: int | None) -> None:
    await bulk(client, 3)
    problem = await act(client, "cancel", {}, expected, 409)
    assert (problem_of(problem), problem["count"]) == ("count-differs", 3)
    assert await states(stores) == {"PENDING": 3}


async def test_each_call_handles_a_thousand_and_new_jobs_are_left_alone(client: Client, stores: Stores) -> None:
    await bulk(client, 2150)
    first = await act(client, "cancel", {"handler": "echo"}, 2150)
    assert (first["matched"], first["done"], first["refused"]) == (1000, 1000, 0)
    await bulk(client, 10)
    second = await act(client, "cancel", {"handler": "echo"}, None, cursor=first["next_cursor"])
    third = await act(client, "cancel", {"handler": "echo"}, 2150, cursor=second["next_cursor"])
    assert (second["matched"], third["matched"], third["next_cursor"]) == (1000, 150, None)
    assert await states(stores) == {"CANCELLED": 2150, "PENDING": 10}


async def test_what_the_state_does_not_allow_is_refused(client: Client, stores: Stores, scene: Scene) -> None:
    for state in (State.SUCCESS, State.FAILED, State.CANCELLED, State.PENDING, State.RETRYING):
        await scene.reach(state)
    run = await scene.run()
    assert await act(client, "delete", {"state": "SUCCESS"}, 1) == {
        "matched": 1, "done": 1, "refused": 0, "next_cursor": None,
    }  # fmt: skip
    answer = await act(client, "cancel", {}, 5)
    assert (answer["done"], answer["refused"]) == (4, 1)
    assert (await get(client, f"{JOBS}/{run.id}"))["cancel_requested"] is True
    answer = await act(client, "delete", {}, 5)
    assert (answer["done"], answer["refused"]) == (4, 1)
    assert await states(stores) == {"RUNNING": 1}


async def test_a_retry_of_all_that_failed(client: Client, scene: Scene, signals: InProcessSignals) -> None:
    for _ in range(3):
        await scene.reach(State.FAILED)
    due = Listener(signals, Topic.DUE)
    answer = await act(client, "retry", {"state": ["FAILED", "CANCELLED"]}, 3)
    assert answer["done"] == 3
    assert due.woken == 1
    assert await scene.stores.jobs.count("default", JobFilter(states=frozenset({State.PENDING}))) == 3


async def test_a_cursor_is_good_for_its_action_and_filter_only(client: Client) -> None:
    await bulk(client, 1001)
    cursor = (await act(client, "cancel", {}, 1001))["next_cursor"]
    for action, where in (("delete", {}), ("cancel", {"handler": "echo"})):
        assert set(fields_of(await act(client, action, where, None, 422, cursor=cursor))) == {"cursor"}
    page = (await get(client, JOBS, params={"limit": 1}))["next_cursor"]
    assert set(fields_of(await act(client, "cancel", {}, None, 422, cursor=page))) == {"cursor"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "action"),
        ({"action": "cancel"}, "filter"),
        ({"action": "run", "filter": {}}, "action"),
        ({"action": "cancel", "filter": None}, "filter"),
        ({"action": "cancel", "filter": []}, "filter"),
        ({"action": "cancel", "filter": {"colour": "red"}}, "filter.colour"),
        ({"action": "cancel", "filter": {"state": "DONE"}}, "filter.state.0"),
        ({"action": "cancel", "filter": {"state": [1]}}, "filter.state.0"),
        ({"action": "cancel", "filter": {"queue": None}}, "filter.queue"),
        ({"action": "cancel", "filter": {"created_after": "now"}}, "filter.created_after"),
        ({"action": "cancel", "filter": {}, "expected_count": "3"}, "expected_count"),
        ({"action": "cancel", "filter": {}, "expected_count": -1}, "expected_count"),
        ({"action": "cancel", "filter": {}, "expected_count": True}, "expected_count"),
        ({"action": "cancel", "filter": {}, "cursor": None}, "cursor"),
        ({"action": "cancel", "filter": {}, "limit": 5}, "limit"),
    ],
)
async def test_a_wrong_action_is_refused_by_field(client: Client, stores: Stores, body: Json, field: str) -> None:
    await bulk(client, 1)
    assert field in fields_of(await post(client, ACTIONS, body, 422))
    assert await states(stores) == {"PENDING": 1}
