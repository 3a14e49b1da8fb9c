"""The duty that fires: when it looks, whom it tells, and a year of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from horae.domain.firing import Pause
from horae.domain.schedule import Misfire, Schedule, ScheduleState, Verdict
from horae.domain.timing import Timing
from horae.runtime.metrics import Metrics
from horae.scheduler.fire import BATCH, LONGEST_LOOK, ONE_BY_ONE, SHORTEST_LOOK, Fire
from horae.scheduler.looks import SAFETY_POLL
from horae.scheduler.service import Scheduler
from horae.signals.base import Event, Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import JobFilter
from horae.store.base_schedules import LedgerFilter
from horae.store.tables import schedules
from tests.support.clock import START
from tests.support.factories import new_definition, schedule_id
from tests.support.scene import NAMESPACE, Scene

EVERY_MINUTE = Timing(cron="* * * * *")


@pytest.fixture
def fire(scheduler: Scheduler) -> Fire:
    return scheduler.fire


async def scheduled(scene: Scene, **fields: Any) -> Schedule:
    definition = new_definition(**{"timing": EVERY_MINUTE, **fields})
    return await scene.stores.schedules.create(NAMESPACE, schedule_id(scene.clock), definition, "ann")


async def settle(fire: Fire) -> float:
    """Rounds until one fires nothing; how long that one wants to sleep."""
    while not (pause := await fire.run_once()):
        pass
    return pause


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"horae_{name}", labels) or 0.0


# --------------------------------------------------------------------------------------------------------------- sleep


async def test_with_no_schedule_it_sleeps_until_its_safety_poll(scene: Scene, fire: Fire) -> None:
    assert await fire.run_once() == SAFETY_POLL


async def test_when_hints_may_be_lost_it_looks_five_times_as_often(
    scene: Scene, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessSignals, "reliable", property(lambda _: False))
    assert await fire.run_once() == SAFETY_POLL / 5


@pytest.mark.parametrize(("ahead", "pause"), [(0.25, 0.25), (4, 4), (30, SAFETY_POLL)])
async def test_it_sleeps_until_the_next_fire_time(scene: Scene, fire: Fire, ahead: float, pause: float) -> None:
    await scheduled(scene)
    scene.clock.turn(60 - ahead)
    assert await fire.run_once() == pytest.approx(pause)


async def test_what_another_scheduler_has_locked_is_looked_at_ever_more_slowly(
    scene: Scene, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_limit: int) -> list[object]:
        return []

    await scheduled(scene)
    scene.clock.turn(61)
    monkeypatch.setattr(type(scene.stores.firing), "fire", lambda _self, limit: nothing(limit))
    looks = [await fire.run_once() for _ in range(8)]
    assert looks[:3] == [SHORTEST_LOOK, 2 * SHORTEST_LOOK, 4 * SHORTEST_LOOK]
    assert looks[-1] == LONGEST_LOOK


async def test_a_hint_wakes_it(scene: Scene, fire: Fire, signals: InProcessSignals) -> None:
    fire.wake.clear()
    signals.hint(Topic.SCHEDULES)
    assert fire.wake.is_set()


# ------------------------------------------------------------------------------------------------------ whom it tells


async def test_the_feed_is_woken_for_new_jobs(scene: Scene, fire: Fire, scheduler: Scheduler) -> None:
    await scheduled(scene)
    scene.clock.turn(60)
    scheduler.feed.wake.clear()
    await settle(fire)
    assert scheduler.feed.wake.is_set()


async def seen(signals: InProcessSignals, scene: Scene, fire: Fire) -> list[Event]:
    """What a watcher is told while everything due is fired."""
    async with signals.watch(NAMESPACE) as events:
        await settle(fire)
        signals.emit(Event("end", NAMESPACE))
        found: list[Event] = []
        async for event in events:
            if event.kind == "end":
                return found
            # As it travels between processes: words of an enumeration aren't keys of an object there.
            assert orjson.loads(orjson.dumps(event.data)) == event.data
            found.append(event)
    raise AssertionError("the watch ended")


async def test_watchers_and_metrics_are_told(
    scene: Scene, fire: Fire, signals: InProcessSignals, metrics: Metrics
) -> None:
    made = await scheduled(scene)
    scene.clock.turn(300)
    (event,) = await seen(signals, scene, fire)
    (job,) = [job.id for job in await scene.stores.jobs.page(NAMESPACE, JobFilter(schedule_id=made.id), 10)][-1:]
    assert event.kind == "schedule"
    assert {"id": made.id, "name": made.definition.name, "change": "fired"}.items() <= event.data.items()
    assert event.data["outcomes"] == {Verdict.COALESCED: 2, Verdict.FIRED: 3}
    assert event.data["jobs"][0] == job
    assert counted(metrics.registry, "schedule_fires_total", outcome="fired") == 3
    assert counted(metrics.registry, "schedule_fires_total", outcome="coalesced") == 2
    assert counted(metrics.registry, "jobs_submitted_total", queue="default") == 3


async def test_of_many_fires_watchers_are_told_the_sum(scene: Scene, fire: Fire, signals: InProcessSignals) -> None:
    for number in range(ONE_BY_ONE + 1):
        await scheduled(scene, name=f"s{number}")
    scene.clock.turn(60)
    (event,) = await seen(signals, scene, fire)
    assert event.data == {"change": "fired", "count": ONE_BY_ONE + 1}


async def test_a_schedule_that_ended_is_told(scene: Scene, fire: Fire, signals: InProcessSignals) -> None:
    made = await scheduled(scene, max_runs=1)
    scene.clock.turn(60)
    ended = (await seen(signals, scene, fire))[0]
    assert ended.data == {
        "id": made.id,
        "name": made.definition.name,
        "change": "ended",
        "reason": "max_runs 1 was reached",
    }


async def test_a_broken_schedule_is_logged_as_an_error(scene: Scene, fire: Fire, logs: list[dict[str, Any]]) -> None:
    await scheduled(scene)
    broken = sa.update(schedules).values(cron="99 * * * *")
    await scene.stores.database.transact(lambda tx: tx.execute(broken))
    scene.clock.turn(60)
    await settle(fire)
    assert [entry["log_level"] for entry in logs if entry["event"] == "schedule.broken"] == ["error", "error"]


async def test_more_than_a_batch_is_fired_without_a_sleep(scene: Scene, fire: Fire) -> None:
    for number in range(BATCH + 1):
        await scheduled(scene, name=f"s{number}")
    scene.clock.turn(60)
    assert [await fire.run_once() for _ in range(3)] == [0.0, 0.0, SAFETY_POLL]


# -------------------------------------------------------------------------------------------------------------- a year


@dataclass
class Year:
    """What happens to a schedule, and what its ledger must hold in the end."""

    scene: Scene
    schedule: Schedule
    fires: list[datetime]
    expected: dict[datetime, str] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)

    async def look(self, fire: Fire) -> None:
        """A scheduler does what is due."""
        now = self.scene.clock.now()
        due = [at for at in self.fires if at <= now and at not in self.expected]
        self._expect(due, now)
        await settle(fire)

    def _expect(self, due: Sequence[datetime], now: datetime) -> None:
        definition = self.schedule.definition
        missed = []
        for at in due:
            if any(pause.covers(at) for pause in self.pauses):
                self.expected[at] = "skipped paused"
            elif (now - at).total_seconds() <= definition.misfire_grace_seconds:
                self.expected[at] = "fired"
            else:
                missed.append(at)
        names = {Misfire.SKIP: "skipped misfire", Misfire.FIRE_ONCE: "coalesced misfire", Misfire.FIRE_ALL: "fired"}
        self.expected |= dict.fromkeys(missed, names[definition.misfire])
        if missed and definition.misfire is Misfire.FIRE_ONCE:
            self.expected[missed[-1]] = "fired"

    async def pause_or_resume(self) -> None:
        """Whichever is possible."""
        now, store = self.scene.clock.now(), self.scene.stores.schedules
        if self.pauses and self.pauses[-1].end is None:
            self.pauses[-1] = Pause(self.pauses[-1].begin, now)
            await store.resume(NAMESPACE, self.schedule.id, "ann")
        else:
            self.pauses.append(Pause(now))
            await store.pause(NAMESPACE, self.schedule.id, "ann")

    async def ledger(self) -> dict[datetime, str]:
        """What it does hold."""
        lines = await self.scene.stores.schedules.occurrences(
            NAMESPACE, LedgerFilter(schedule_id=self.schedule.id), 999
        )
        assert all(line.until is None for line in lines)
        return {line.fire_time: f"{line.verdict} {line.reason or ''}".strip() for line in lines}


@pytest.mark.parametrize("misfire", Misfire)
async def test_a_year_of_restarts_and_pauses_leaves_a_complete_ledger(
    scene: Scene, scheduler: Scheduler, signals: InProcessSignals, metrics: Metrics, misfire: Misfire
) -> None:
    chance = random.Random(misfire)
    timing = Timing(cron="0 3 * * *", timezone="Europe/Berlin")
    made = await scheduled(scene, timing=timing, misfire=misfire, misfire_grace_seconds=3600)
    end = START + timedelta(days=365)
    fires = list(islice(timing.fires(START), 400))
    year, fire = Year(scene, made, fires), scheduler.fire
    while scene.clock.now() < end:
        scene.clock.turn(chance.choice((600, 3600, 7200, 40_000, 300_000)))
        match chance.choice(("look", "look", "look", "look", "restart", "pause", "nothing")):
            case "look":
                await year.look(fire)
            case "restart":
                fire = Fire(scene.stores.firing, signals, metrics)
                await year.look(fire)
            case "pause":
                await year.pause_or_resume()
    await year.look(fire)
    ledger = await year.ledger()
    assert sorted(ledger) == [at for at in fires if at <= scene.clock.now()]
    assert ledger == year.expected
    assert len(set(ledger.values())) >= 3 - (misfire is Misfire.FIRE_ALL)
    fired = [at for at, verdict in ledger.items() if verdict == "fired"]
    found = await scene.stores.jobs.page(NAMESPACE, JobFilter(schedule_id=made.id), 999)
    assert sorted(job.fire_time for job in found if job.fire_time) == sorted(fired)
    state = (await scene.stores.schedules.get(NAMESPACE, made.id)) or made
    assert state.state is (ScheduleState.PAUSED if year.pauses[-1].end is None else ScheduleState.ACTIVE)
    assert state.runs == len(fired)
