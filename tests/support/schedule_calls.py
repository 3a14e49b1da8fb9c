"""Every call of the stores that is about schedules, over a filled database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

from horae.domain.schedule import BackfillId, BackfillState, Reason, ScheduleId, ScheduleState, Verdict
from horae.domain.timing import Timing
from horae.runtime.clock import SystemClock
from horae.store.base_schedules import LedgerFilter, LedgerKey, NewBackfill, ScheduleFilter
from horae.store.sql import Stores
from tests.support.factories import job_id, new_definition, schedule_id
from tests.support.filling_schedules import DUE, HOUR, LINES, LONG, Row, Timetable

Call = Callable[[Stores, Timetable], Awaitable[object]]

CLOCK = SystemClock()
SPACE = "space"

LISTS: dict[str, ScheduleFilter] = {
    "all": ScheduleFilter(),
    "state": ScheduleFilter(states=frozenset({ScheduleState.ACTIVE})),
    "two states": ScheduleFilter(states=frozenset({ScheduleState.ACTIVE, ScheduleState.PAUSED})),
    "rare state": ScheduleFilter(states=frozenset({ScheduleState.ENDED})),
    "name": ScheduleFilter(name="schedule 777"),
    "handler": ScheduleFilter(handler="http"),
    "rare handler": ScheduleFilter(handler="rare.handler"),
    "source": ScheduleFilter(source="a.yaml"),
    "rare source": ScheduleFilter(source="rare.yaml"),
    "text": ScheduleFilter(text="schedule 12"),
    "unknown text": ScheduleFilter(text="nothing"),
}


def own(timetable: Timetable, number: int) -> Row:
    """One of the schedules of the namespace; those with a long ledger come first."""
    return [row for row in timetable.schedules if row["namespace"] == SPACE][number]


def listed(name: str, after: str | None) -> Call:
    return lambda stores, _: stores.schedules.page(SPACE, LISTS[name], 50, after)


async def create(stores: Stores, _: Timetable) -> object:
    return await stores.schedules.create(SPACE, schedule_id(CLOCK), new_definition(name="new"), "ann")


def changing(number: int) -> Call:
    async def call(stores: Stores, timetable: Timetable) -> object:
        row = own(timetable, number)
        found = await stores.schedules.get(SPACE, row["id"])
        assert found is not None
        new = replace(found.definition, name=f"renamed {number}", timing=Timing(cron="7 * * * *"))
        return await stores.schedules.change(SPACE, row["id"], found.version, new, "ann")

    return call


async def trigger_twice(stores: Stores, timetable: Timetable) -> None:
    """The second time it looks at the first one's job."""
    row = next(row for row in timetable.schedules if row["overlap"] == "replace" and row["namespace"] == SPACE)
    for _ in range(2):
        await stores.schedules.trigger(SPACE, row["id"], job_id(CLOCK), "ann")


# -------------------------------------------------------------------------------------------------------------- ledger

VERDICTS = {
    "any": frozenset[Verdict](),
    "fired": frozenset({Verdict.FIRED}),
    "two": frozenset({Verdict.SKIPPED, Verdict.MISSED}),
    "rare": frozenset({Verdict.BACKFILLED}),
}
REASONS = {"no reason": None, "misfire": Reason.MISFIRE, "rare reason": Reason.BOUND}
RANGES = {"always": (None, None), "since": (9, None), "until": (None, 9), "between": (200, 100)}
DEPTHS = {"first": None, "later": 5, "deep": 300}


def read_ledger(*names: str) -> Call:
    whose, verdicts, reason, span, depth = names

    async def call(stores: Stores, timetable: Timetable) -> object:
        row = own(timetable, 3)
        hours = [None if each is None else timetable.now - each * HOUR for each in RANGES[span]]
        named = row["id"] if whose == "schedule" else None
        where = LedgerFilter(named, VERDICTS[verdicts], REASONS[reason], *hours)
        back = DEPTHS[depth]
        before = None if back is None else LedgerKey(timetable.now - back * HOUR, row["id"], missed=False)
        return await stores.schedules.occurrences(SPACE, where, 50, before)

    return call


LEDGER: dict[str, Call] = {
    f"schedules.occurrences: {', '.join(names)}": read_ledger(*names)
    for names in product(("schedule", "namespace"), VERDICTS, REASONS, RANGES, DEPTHS)
    # What was fired or backfilled has no reason: nothing needs to be read.
    if names[2] == "no reason" or names[1] in ("any", "two")
}


def history(*, late: bool) -> Call:
    async def call(stores: Stores, timetable: Timetable) -> object:
        before = job_id(CLOCK) if late else None
        return await stores.schedules.history(SPACE, own(timetable, 5)["id"], 50, before)

    return call


# ----------------------------------------------------------------------------------------------------------- backfills


async def backfill(stores: Stores, timetable: Timetable) -> object:
    begin = timetable.now - 800 * HOUR
    new = NewBackfill(BackfillId(job_id(CLOCK)), begin, begin + 10 * HOUR, 5)
    return await stores.schedules.backfill(SPACE, ScheduleId(own(timetable, 50)["id"]), new, "ann")


def on_backfill(act: Callable[[Stores, str, str], Awaitable[object]], place: int) -> Call:
    async def call(stores: Stores, timetable: Timetable) -> object:
        running = [
            row for row in timetable.backfills if row["state"] is BackfillState.RUNNING and row["namespace"] == SPACE
        ]
        return await act(stores, running[place]["schedule_id"], running[place]["id"])

    return call


CALLS: dict[str, Call] = {
    "schedules.create": create,
    "schedules.get": lambda stores, timetable: stores.schedules.get(SPACE, own(timetable, 0)["id"]),
    **{f"schedules.page: {name}": listed(name, None) for name in LISTS},
    **{f"schedules.page: {name}, later": listed(name, "schedule 15") for name in LISTS},
    "schedules.change": changing(-1),
    "schedules.change: due": changing(0),
    "schedules.pause": lambda stores, timetable: stores.schedules.pause(SPACE, own(timetable, -2)["id"], "ann"),
    "schedules.resume": lambda stores, timetable: stores.schedules.resume(SPACE, own(timetable, -2)["id"], "ann"),
    "schedules.trigger": trigger_twice,
    "schedules.delete": lambda stores, timetable: stores.schedules.delete(SPACE, own(timetable, 1)["id"], "ann"),
    **LEDGER,
    "schedules.history": history(late=False),
    "schedules.history: later": history(late=True),
    "schedules.backfill": backfill,
    "schedules.backfills": lambda stores, timetable: stores.schedules.backfills(SPACE, own(timetable, 9)["id"], 50),
    "schedules.get_backfill": on_backfill(lambda stores, *ids: stores.schedules.get_backfill(SPACE, *ids), 0),
    "schedules.cancel_backfill": on_backfill(
        lambda stores, *ids: stores.schedules.cancel_backfill(SPACE, *ids, "ann"), 1
    ),
    "firing.fire": lambda stores, _: stores.firing.fire(DUE),
    "firing.fire: nothing": lambda stores, _: stores.firing.fire(DUE),
    "firing.next_fire": lambda stores, _: stores.firing.next_fire(),
    "firing.note_absences": lambda stores, _: stores.firing.note_absences(20),
    "firing.next_absence": lambda stores, _: stores.firing.next_absence(),
    "firing.advance_backfills": lambda stores, _: stores.firing.advance_backfills(5),
    "firing.backfilling": lambda stores, _: stores.firing.backfilling(),
    "firing.adopt_zone_data": lambda stores, _: stores.firing.adopt_zone_data(20),
    "firing.prune_ledger": lambda stores, _: stores.firing.prune_ledger(timedelta(hours=LINES // 2), LONG),
    "firing.prune_ledger: nothing": lambda stores, _: stores.firing.prune_ledger(timedelta(days=900), LONG),
}
