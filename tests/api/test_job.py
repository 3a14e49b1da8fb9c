from __future__ import annotations

from typing import Any

import pytest

from horae.api.context import ApiDeps
from horae.domain.job import WAITING, State
from horae.domain.transitions import FAIL, RELEASE, SUCCEED
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from tests.api.asking import JOBS, Client, Json, answer_of, fields_of, get, post, problem_of, submit
from tests.support.scene import BROKEN, Scene
from tests.support.signals import Listener, first

NOBODY = "01a20acf-fe4b-7561-b550-6078429ff770"


async def patch(client: Client, id_: str, version: object, status: int = 200, **changes: Any) -> Json:
    headers = {} if version is None else {"If-Match": str(version)}
    return await answer_of(await client.patch(f"{JOBS}/{id_}", json=changes, headers=headers), status)


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("id_", [NOBODY, "7", "bulks", NOBODY.upper(), f"{NOBODY}x", "%00", "..%2f..%2fetc"])
async def test_what_is_not_there_is_404(client: Client, id_: str) -> None:
    assert problem_of(await get(client, f"{JOBS}/{id_}", 404)) == "not-found"


@pytest.mark.parametrize("state", list(State))
async def test_a_job_is_shown_in_every_state(client: Client, scene: Scene, state: State) -> None:
    if state is State.RUNNING:
        reference = (await scene.run()).reference
    else:
        reference = await scene.reach(state)
    response = await client.get(f"{JOBS}/{reference.id}")
    job = await answer_of(response)
    assert (job["state"], job["version"]) == (state, reference.token)
    assert response.headers["ETag"] == f'"{reference.token}"'


async def test_the_result_and_the_error_are_shown(client: Client, scene: Scene) -> None:
    done = await get(client, f"{JOBS}/{(await scene.reach(State.SUCCESS)).id}")
    assert (done["result"], done["error"]) == ({"a": 1}, None)
    failed = await get(client, f"{JOBS}/{(await scene.reach(State.FAILED)).id}")
    assert failed["error"] == {"type": "ValueError", "message": "broken", "traceback": "Traceback: …"}


async def test_progress_is_shown(client: Client, scene: Scene) -> None:
    run = await scene.run()
    progress = {"value": 0.5, "message": "rendered"}
    await scene.stores.worker.progress(scene.worker, run.reference, progress)
    assert (await get(client, f"{JOBS}/{run.id}"))["progress"] == progress


async def test_attempts_are_listed_oldest_first(client: Client, scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, error=BROKEN)
    second = await scene.again(run.id)
    await scene.finish(second.reference, RELEASE)
    third = await scene.again(run.id)
    await scene.finish(third.reference, SUCCEED, result="1")
    items = (await get(client, f"{JOBS}/{run.id}/attempts"))["items"]
    assert [(item["attempt"], item["outcome"]) for item in items] == [(1, "failed"), (2, "released"), (3, "success")]
    assert set(items[0]) == {"attempt", "outcome", "worker_id", "started_at", "finished_at", "error"}
    assert (items[0]["error"]["message"], items[2]["error"]) == ("broken", None)


async def test_a_job_without_attempts_has_an_empty_list(client: Client) -> None:
    job = await submit(client)
    assert await get(client, f"{JOBS}/{job['id']}/attempts") == {"items": []}
    await get(client, f"{JOBS}/{NOBODY}/attempts", 404)


# ------------------------------------------------------------------------------------------------------------ editing


async def test_only_what_is_given_changes(client: Client) -> None:
    job = await submit(client, payload={"a": 1}, tags=["x"], max_retries=5)
    changes: Json = {
        "payload": {"b": 2},
        "queue": "mail",
        "priority": "low",
        "run_at": "2030-01-01T00:00:00Z",
        "timeout_seconds": 5,
        "backoff": {"kind": "fixed", "base_seconds": 9, "factor": 2, "max_seconds": 10, "jitter": 0},
        "tags": ["y", "z"],
        "expires_at": "2031-01-01T00:00:00Z",
        "retry_for_seconds": 60,
    }
    changed = await patch(client, job["id"], '"0"', **changes)
    assert {name: changed[name] for name in changes} == changes
    assert (changed["max_retries"], changed["version"]) == (5, 1)
    assert changed == await get(client, f"{JOBS}/{job['id']}")


async def test_null_takes_away_what_may_be_missing(client: Client) -> None:
    job = await submit(client, expires_at="2031-01-01T00:00:00Z", retry_for_seconds=60)
    changed = await patch(client, job["id"], '"0"', expires_at=None, retry_for_seconds=None)
    assert (changed["expires_at"], changed["retry_for_seconds"]) == (None, None)


async def test_a_delay_counts_from_the_change(client: Client) -> None:
    job = await submit(client, run_at="2030-01-01T00:00:00Z")
    assert (await patch(client, job["id"], 0, delay_seconds=30))["run_at"] == "2026-03-01T12:00:30Z"


async def test_schedulers_get_a_hint_of_a_change(client: Client, signals: InProcessSignals) -> None:
    job = await submit(client, delay_seconds=60)
    due = Listener(signals, Topic.DUE)
    await patch(client, job["id"], '"0"', delay_seconds=0)
    assert due.woken == 1


async def test_a_change_needs_the_version_that_was_read(client: Client) -> None:
    job = await submit(client)
    assert problem_of(await patch(client, job["id"], None, 428, priority="low")) == "if-match-required"
    await patch(client, job["id"], '"0"', priority="low")
    stale = await client.patch(f"{JOBS}/{job['id']}", json={"priority": "high"}, headers={"If-Match": '"0"'})
    assert problem_of(await answer_of(stale, 412)) == "stale-version"
    assert stale.headers["ETag"] == '"1"'
    assert (await get(client, f"{JOBS}/{job['id']}"))["priority"] == "low"


@pytest.mark.parametrize("given", ['W/"0"', "*", '"x"', "", '"0", "1"', '"-1"', "00000000000000000000"])
async def test_what_is_no_etag_of_a_job_matches_none(client: Client, given: str) -> None:
    job = await submit(client)
    assert set(fields_of(await patch(client, job["id"], given, 412, priority="low"))) == {"If-Match"}


@pytest.mark.parametrize("state", sorted(set(State) - {State.PENDING, State.RUNNING}))
async def test_only_a_pending_job_can_be_changed(client: Client, scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    problem = await patch(client, reference.id, reference.token, 409, priority="low")
    assert (problem_of(problem), problem["state"]) == ("illegal-move", state)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "body"),
        ({"handler": "noop"}, "handler"),
        ({"idempotency_key": "k"}, "idempotency_key"),
        ({"state": "SUCCESS"}, "state"),
        ({"token": 9}, "token"),
        ({"namespace": "other"}, "namespace"),
        ({"queue": None}, "queue"),
        ({"payload": None}, "payload"),
        ({"payload": []}, "payload"),
        ({"payload": {"seconds": "x"}}, "payload.seconds"),
        ({"payload": {"seconds": 1, "x": "y" * 66_000}}, "payload"),
        ({"payload": {str(n): n for n in range(1001)}}, "payload"),
        ({"run_at": "2030-01-01T00:00:00Z", "delay_seconds": 1}, "delay_seconds"),
        ({"run_at": "2030-01-01T00:00:00Z", "expires_at": "2029-01-01T00:00:00Z"}, "expires_at"),
        ({"max_retries": 101}, "max_retries"),
        ({"backoff": {"kind": "x"}}, "backoff.kind"),
        ({"tags": ["a", "a"]}, "tags"),
    ],
)
async def test_a_wrong_change_is_refused_by_field(client: Client, changes: Json, field: str) -> None:
    job = await submit(client, "sleep", payload={"seconds": 1})
    assert field in fields_of(await patch(client, job["id"], '"0"', 422, **changes))
    assert await get(client, f"{JOBS}/{job['id']}") == job


async def test_what_is_not_there_can_not_be_changed(client: Client) -> None:
    await patch(client, NOBODY, '"0"', 404, priority="low")
    await patch(client, NOBODY, '"0"', 404, payload={})


# --------------------------------------------------------------------------------------------------- cancel and retry


@pytest.mark.parametrize("state", sorted(WAITING))
async def test_a_waiting_job_is_cancelled_at_once_and_again(client: Client, scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    for _ in range(2):
        assert (await post(client, f"{JOBS}/{reference.id}/cancel"))["state"] == "CANCELLED"


async def test_a_running_job_is_asked_to_end(client: Client, scene: Scene, signals: InProcessSignals) -> None:
    run = await scene.run()
    cancels = Listener(signals, Topic.CANCEL)
    for _ in range(2):
        job = await post(client, f"{JOBS}/{run.id}/cancel")
        assert (job["state"], job["cancel_requested"]) == ("RUNNING", True)
    assert cancels.woken == 2
    assert await scene.stores.worker.cancel_requests(scene.worker) == [run.reference]


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILED])
async def test_an_ended_job_can_not_be_cancelled(client: Client, scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    problem = await post(client, f"{JOBS}/{reference.id}/cancel", status=409)
    assert (problem_of(problem), problem["state"]) == ("illegal-move", state)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
async def test_a_failed_or_cancelled_job_is_tried_again(
    client: Client, scene: Scene, signals: InProcessSignals, state: State
) -> None:
    reference = await scene.reach(state)
    before = await get(client, f"{JOBS}/{reference.id}")
    due = Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:
        job = await post(client, f"{JOBS}/{reference.id}/retry")
        assert dict((await first(events)).data) == {"id": reference.id, "state": State.PENDING}
    assert (job["state"], job["failures"], job["attempt"]) == ("PENDING", 0, before["attempt"])
    assert (job["error"], job["result"], job["finished_at"], job["started_at"]) == (None, None, None, None)
    assert due.woken == 1


@pytest.mark.parametrize("state", [*sorted(WAITING), State.SUCCESS])
async def test_any_other_job_is_not_tried_again(client: Client, scene: Scene, state: State) -> None:
    reference = await scene.reach(state)
    problem = await post(client, f"{JOBS}/{reference.id}/retry", status=409)
    assert (problem_of(problem), problem["state"]) == ("illegal-move", state)


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_what_is_not_there_is_not_moved(client: Client, action: str) -> None:
    await post(client, f"{JOBS}/{NOBODY}/{action}", status=404)
    await post(client, f"{JOBS}/nothing/{action}", status=404)


async def test_a_move_takes_no_body_but_an_empty_one(client: Client) -> None:
    job = await submit(client)
    problem = await post(client, f"{JOBS}/{job['id']}/cancel", {"reason": "why not"}, 422)
    assert set(fields_of(problem)) == {"body"}
    assert (await post(client, f"{JOBS}/{job['id']}/cancel", {}))["state"] == "CANCELLED"


async def test_events_tell_of_a_cancel(client: Client, signals: InProcessSignals, deps: ApiDeps) -> None:
    job = await submit(client)
    async with signals.watch("default") as events:
        await post(client, f"{JOBS}/{job['id']}/cancel")
        assert dict((await first(events)).data) == {"id": job["id"], "state": State.CANCELLED}
