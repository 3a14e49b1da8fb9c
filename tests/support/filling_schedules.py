"""Thousands of schedules with their ledger and history, beside the jobs of a busy day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.firing import Position
from horae.domain.ids import IdMaker
from horae.domain.schedule import Action, BackfillState, Definition, Overlap, Reason, ScheduleState, Verdict
from horae.domain.template import Template
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA
from horae.store.schedule_rows import definition_values, position_values, timing_text
from horae.store.tables import backfills, changes, occurrences, positions, schedules

COUNT = 3_000
LONG, LINES, FEW_LINES = 40, 400, 12
"""so many schedules have a long ledger, the others a short one"""
DUE, UNJUDGED, OUTDATED, BACKFILLED = 40, 40, 40, 300

NAMESPACES, HANDLERS, SOURCES = ("default", "space"), ("noop", "mail.send", "http", "report"), ("a.yaml", "b.yaml")
HOUR = timedelta(hours=1)

Row = dict[str, Any]


class Timetable:
    """Makes the rows; the same ones for the same moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now.replace(minute=0, second=0, microsecond=0)
        self._chance = random.Random(13)
        self._ids = IdMaker()
        self.schedules = [self._schedule(number) for number in range(COUNT)]
        self.backfills = [self._backfill(number, row) for number, row in enumerate(self.schedules[:BACKFILLED])]

    def rows(self) -> dict[sa.Table, list[Row]]:
        """Everything, by table."""
        return {
            schedules: self.schedules,
            positions: [self._position(number, row) for number, row in enumerate(self.schedules)],
            occurrences: [line for number, row in enumerate(self.schedules) for line in self._lines(number, row)],
            changes: [self._change(row, place) for row in self.schedules for place in range(3)],
            backfills: self.backfills,
        }

    def _id(self, moment: datetime) -> str:
        return self._ids.next(int(moment.timestamp() * 1000))

    def _schedule(self, number: int) -> Row:
        chance, created = self._chance, self.now - 1000 * HOUR
        definition = Definition(
            name=f"schedule {number}",
            timing=Timing(cron="0 * * * *"),
            template=Template("rare.handler" if number == 7 else chance.choice(HANDLERS)),
            overlap=Overlap.REPLACE if number % 10 == 0 else Overlap.ALLOW,
            must_succeed_within_seconds=600,
            source="rare.yaml" if number == 7 else chance.choice(SOURCES),
        )
        return {
            "id": self._id(created),
            "namespace": chance.choice(NAMESPACES),
            "version": 1,
            "state": ScheduleState.ENDED if number % 1000 == 999 else ScheduleState.ACTIVE,
            "tzdata": "2001a" if number < OUTDATED else TZDATA,
            "created_at": created,
            "updated_at": created,
            **definition_values(definition),
        }

    def _position(self, number: int, row: Row) -> Row:
        later = None if row["state"] is ScheduleState.ENDED else self.now + (1 + number % 24) * HOUR
        upcoming = self.now - HOUR if number < DUE else later
        return position_values(row["id"], Position(next_fire_at=upcoming, since=self.now - HOUR))

    def _lines(self, number: int, row: Row) -> Iterator[Row]:
        for place in range(2, LINES if number < LONG else FEW_LINES):
            line = self._line(row, self.now - place * HOUR)
            yield line
            if line["reason"] is None and self._chance.random() < 0.02:
                yield {**line, "missed": True, "verdict": Verdict.MISSED, "reason": Reason.NO_SUCCESS}
        if DUE <= number < DUE + UNJUDGED:
            yield {**self._line(row, self.now - HOUR), "must_succeed_by": self.now - HOUR / 2}

    def _line(self, row: Row, fire_time: datetime) -> Row:
        dice = self._chance.random()
        verdict, reason = Verdict.FIRED, None
        if dice < 0.1:
            verdict, reason = Verdict.SKIPPED, self._chance.choice((Reason.MISFIRE, Reason.PAUSED, Reason.OVERLAP))
        elif dice < 0.15:
            verdict, reason = Verdict.COALESCED, Reason.MISFIRE
        shared = reason is not None and self._chance.random() < 0.02
        return {
            "schedule_id": row["id"],
            "fire_time": fire_time,
            "missed": False,
            "namespace": row["namespace"],
            "verdict": verdict,
            "reason": reason,
            "job_id": self._id(fire_time) if reason is None else None,
            "until": fire_time + HOUR / 2 if shared else None,
            "count": 1800 if shared else 1,
            "recorded_at": fire_time,
            "must_succeed_by": None,
        }

    def _change(self, row: Row, place: int) -> Row:
        moment = row["created_at"] + place * HOUR
        return {
            "id": self._id(moment),
            "schedule_id": row["id"],
            "namespace": row["namespace"],
            "name": row["name"],
            "at": moment,
            "author": "ann",
            "action": Action.UPDATED if place else Action.CREATED,
            "version": 1 + place,
            "details": "{}",
        }

    def _backfill(self, number: int, row: Row) -> Row:
        running = number % 30 == 0
        return {
            "id": self._id(self.now),
            "schedule_id": row["id"],
            "namespace": row["namespace"],
            "state": BackfillState.RUNNING if running else BackfillState.DONE,
            "begin_at": self.now - 900 * HOUR,
            "end_at": self.now - 890 * HOUR,
            "timing": timing_text(Timing(cron="0 * * * *")),
            "max_concurrent": 2,
            "next_at": self.now - 900 * HOUR if running else None,
            "total": 11,
            "made": 0 if running else 11,
            "kept": 0,
            "succeeded": 0,
            "failed": 0,
            "running": "[]",
            "author": "ann",
            "created_at": self.now,
            "finished_at": None if running else self.now,
        }
