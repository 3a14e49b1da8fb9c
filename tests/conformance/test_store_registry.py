"""Workers, handlers and queues, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, State
from horae.store.base import HandlerInfo, QueueInfo, WorkerInfo
from horae.store.sql import Stores
from tests.support.clock import START, ManualClock
from tests.support.factories import LEASE, new_worker, worker_id
from tests.support.scene import Scene
from tests.support.waiting import together

NO_JOBS = {state: 0 for state in State if state not in FINAL}
IDLE = QueueInfo("default", paused=False, paused_by=None, paused_at=None, depth=NO_JOBS, oldest_due_at=None)
MAIL = HandlerInfo("mail.send", {"type": "object", "title": "ü"}, {"queue": "mail", "max_retries": 5}, "1.2", "Sends.")

# ----------------------------------------------------------------------------------------------------------- workers


async def test_a_worker_is_listed_as_it_registered(stores: Stores, clock: ManualClock) -> None:
    worker = new_worker(
        clock, name="mail-7", queues=("mail", "default"), slots=3, version="1.2", handlers=[MAIL], health_port=8081
    )
    await stores.registry.register(worker, LEASE)
    assert await stores.registry.workers() == [
        WorkerInfo(
            id=worker.id,
            name="mail-7",
            queues=("mail", "default"),
            slots=3,
            running=0,
            rates={},
            handlers=("mail.send",),
            version="1.2",
            health_port=8081,
            state="ALIVE",
            started_at=START,
            expires_at=START + timedelta(seconds=LEASE),
        )
    ]


async def listed(scene: Scene) -> dict[WorkerId, WorkerInfo]:
    return {info.id: info for info in await scene.stores.registry.workers()}


async def test_a_renewal_prolongs_the_lease_from_now(scene: Scene) -> None:
    scene.clock.turn(LEASE - 1)
    assert await scene.stores.registry.renew(scene.worker, LEASE, {"default": 12.5}, draining=True)
    info = (await listed(scene))[scene.worker]
    assert (info.expires_at, info.rates, info.state) == (scene.at(LEASE), {"default": 12.5}, "DRAINING")


async def test_a_renewal_that_changes_nothing_is_still_a_renewal(scene: Scene) -> None:
    for _ in range(2):
        assert await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)


async def test_a_lease_that_has_ended_is_not_renewed(scene: Scene) -> None:
    scene.clock.turn(LEASE)
    assert not await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)
    assert (await listed(scene))[scene.worker].state == "DEAD"


async def test_an_unknown_worker_is_not_renewed(scene: Scene) -> None:
    assert not await scene.stores.registry.renew(worker_id(scene.clock), LEASE, {}, draining=False)


async def test_a_retired_worker_is_dead_and_stays_so(scene: Scene) -> None:
    scene.clock.turn(1)
    await scene.stores.registry.retire(scene.worker)
    info = (await listed(scene))[scene.worker]
    assert (info.state, info.expires_at) == ("DEAD", scene.clock.now())
    assert not await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)


async def test_retiring_again_changes_nothing(scene: Scene) -> None:
    await scene.stores.registry.retire(scene.worker)
    before = await listed(scene)
    scene.clock.turn(1)
    await scene.stores.registry.retire(scene.worker)
    await scene.stores.registry.retire(worker_id(scene.clock))
    assert await listed(scene) == before


async def test_dead_workers_are_listed_for_an_hour(scene: Scene) -> None:
    scene.clock.turn(LEASE + 3600 - 0.001)
    assert [info.state for info in (await listed(scene)).values()] == ["DEAD"]
    scene.clock.turn(0.001)
    assert await listed(scene) == {}


async def test_a_worker_is_listed_with_what_it_runs(scene: Scene) -> None:
    other = await scene.new_worker()
    for _ in range(3):
        await scene.run(worker=other)
    assert {id_: info.running for id_, info in (await listed(scene)).items()} == {scene.worker: 0, other: 3}


# ---------------------------------------------------------------------------------------------------------- handlers


async def test_handlers_are_remembered_by_name(stores: Stores, clock: ManualClock) -> None:
    await stores.registry.register(new_worker(clock, handlers=[MAIL, HandlerInfo("a", {}, {})]), LEASE)
    assert await stores.registry.handlers() == [HandlerInfo("a", {}, {}), MAIL]


async def test_a_newer_handler_replaces_the_older(stores: Stores) -> None:
    newer = replace(MAIL, schema={"type": "object"}, defaults={}, version="2", description="")
    for info in (MAIL, newer):
        await stores.registry.remember([info])
    assert await stores.registry.handlers() == [newer]


async def test_handlers_outlive_their_workers(scene: Scene) -> None:
    await scene.stores.registry.remember([MAIL])
    await scene.kill()
    assert MAIL in await scene.stores.registry.handlers()


async def test_workers_with_the_same_handlers_may_register_at_once(stores: Stores, clock: ManualClock) -> None:
    infos = [HandlerInfo(f"handler{n}", {}, {}) for n in range(5)]
    workers = [new_worker(clock, handlers=infos if n % 2 else infos[::-1]) for n in range(8)]
    await together(*(stores.registry.register(worker, LEASE) for worker in workers))
    assert await stores.registry.handlers() == infos
    assert len(await stores.registry.workers()) == 8


# ------------------------------------------------------------------------------------------------------------ queues


async def queues(scene: Scene, namespace: str = "default") -> dict[str, QueueInfo]:
    found = await scene.stores.queues.queues(namespace)
    assert [info.name for info in found] == sorted(info.name for info in found)
    return {info.name: info for info in found}


async def test_a_queue_is_known_by_its_worker(scene: Scene) -> None:
    assert await queues(scene) == {"default": IDLE}
    scene.clock.turn(LEASE)
    assert await queues(scene) == {}


async def test_a_worker_of_every_queue_makes_no_queue_known(scene: Scene) -> None:
    await scene.new_worker(queues=("*",))
    assert set(await queues(scene)) == {"default"}


async def test_queues_with_waiting_jobs_are_found_in_every_namespace(scene: Scene) -> None:
    await scene.submit(queue="mail")
    await scene.submit("theirs", queue="reports", delay_seconds=3600)
    await scene.reach(State.SUCCESS, queue="done")
    assert await scene.stores.worker.waiting_queues() == ["mail", "reports"]


async def test_a_queue_is_known_by_its_jobs_until_they_are_final(scene: Scene) -> None:
    job = await scene.submit(queue="mail")
    assert (await queues(scene))["mail"].depth == {**NO_JOBS, State.PENDING: 1}
    await scene.stores.jobs.cancel("default", [job])
    assert "mail" not in await queues(scene)


async def test_a_queue_is_known_by_its_pause(scene: Scene) -> None:
    await scene.stores.queues.pause("default", "mail", "ann")
    assert (await queues(scene))["mail"] == replace(IDLE, name="mail", paused=True, paused_by="ann", paused_at=START)


async def test_a_queue_tells_its_depth_in_each_state(scene: Scene) -> None:
    # In this order what is due is not claimed by what comes after it.
    for state in (State.RUNNING, State.QUEUED, State.RETRYING, State.SUCCESS, State.FAILED, State.PENDING):
        await scene.reach(state)
    depth = (await queues(scene))["default"].depth
    assert set(depth) == set(NO_JOBS)
    assert (depth[State.RUNNING], depth[State.PENDING], sum(depth.values())) == (1, 1, 4)


async def test_a_queue_tells_since_when_its_oldest_job_is_due(scene: Scene) -> None:
    await scene.submit(delay_seconds=2)
    await scene.submit(delay_seconds=1)
    assert (await queues(scene))["default"].oldest_due_at is None
    scene.clock.turn(3)
    assert (await queues(scene))["default"].oldest_due_at == START + timedelta(seconds=1)


async def test_a_pause_keeps_its_first_author(scene: Scene) -> None:
    await scene.stores.queues.pause("default", "mail", "ann")
    scene.clock.turn(1)
    await scene.stores.queues.pause("default", "mail", "bob")
    info = (await queues(scene))["mail"]
    assert (info.paused_by, info.paused_at) == ("ann", START)


async def test_pauses_at_once_have_one_author(scene: Scene) -> None:
    await together(*(scene.stores.queues.pause("default", "mail", f"user{n}") for n in range(10)))
    assert (await queues(scene))["mail"].paused


async def test_resuming_ends_a_pause_and_needs_none(scene: Scene) -> None:
    await scene.stores.queues.pause("default", "mail", "ann")
    for _ in range(2):
        await scene.stores.queues.resume("default", "mail")
    assert "mail" not in await queues(scene)


async def test_queues_show_nothing_of_other_namespaces(scene: Scene) -> None:
    await scene.submit("theirs", queue="mail")
    await scene.stores.queues.pause("theirs", "default", "ann")
    await scene.stores.queues.resume("ours", "default")
    assert await queues(scene, "ours") == {"default": IDLE}
    assert (await queues(scene, "theirs"))["default"].paused
