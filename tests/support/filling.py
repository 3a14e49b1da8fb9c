"""A MySQL database as it is in the middle of a busy day: many jobs in every state, most of them long done."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import IdMaker
from horae.domain.job import FINAL, State
from horae.store.moves import chunks
from horae.store.sql import Stores
from horae.store.tables import attempts, jobs, keys, metadata, pauses, tags, workers
from tests.support.filling_schedules import Timetable

COUNTS = {
    State.SUCCESS: 14_000,
    State.FAILED: 3_000,
    State.CANCELLED: 1_000,
    State.PENDING: 4_000,
    State.QUEUED: 600,
    State.RUNNING: 400,
    State.RETRYING: 1_000,
}
NAMESPACES, QUEUES = ("default", "space"), ("default", "mail", "slow")
HANDLERS = ("noop", "mail.send", "http", "report")
TAGS = ("red", "blue", "rare")
LIVE_WORKERS, DEAD_WORKERS = 10, 5
KEYS = 5_000
SECOND = timedelta(seconds=1)


class Day:
    """Makes the rows; the same ones for the same moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._chance = random.Random(7)
        self._ids = IdMaker()
        self.workers = [self._id(now) for _ in range(LIVE_WORKERS)]
        self.timetable = Timetable(now)

    def _id(self, moment: datetime) -> str:
        return self._ids.next(int(moment.timestamp() * 1000))

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Every job, the oldest first, the states well mixed."""
        states = [state for state, count in COUNTS.items() for _ in range(count)]
        self._chance.shuffle(states)
        begin = self.now - len(states) * SECOND
        for place, state in enumerate(states):
            yield self._job(state, begin + place * SECOND)

    def _job(self, state: State, created: datetime) -> dict[str, Any]:
        chance = self._chance
        run_at = created if state in FINAL else self.now + chance.uniform(-3600, 3600) * SECOND
        rare = chance.random() < 0.001
        return {
            "id": self._id(created),
            "namespace": chance.choice(NAMESPACES),
            "queue": chance.choice(QUEUES),
            "priority": chance.randrange(4),
            "state": state,
            "token": 1,
            "attempt": 0 if state is State.PENDING else 1,
            "failures": 0,
            "losses": 0,
            "round": 0,
            "run_at": run_at,
            "wake_at": None if state in FINAL else run_at,
            "cancel_requested": state is State.RUNNING and chance.random() < 0.05,
            "worker_id": chance.choice(self.workers) if state is State.RUNNING else None,
            "created_at": created,
            "first_started_at": None if state is State.PENDING else created,
            "started_at": None if state is State.PENDING else created,
            "finished_at": created + SECOND if state in FINAL else None,
            "expires_at": run_at + 60 * SECOND if chance.random() < 0.1 else None,
            "handler": "rare.handler" if rare else chance.choice(HANDLERS),
            "max_retries": 3,
            "backoff": "",
            "timeout_us": 10_000_000,
            "tags": '["rare"]' if rare else f'["{chance.choice(TAGS[:2])}"]',
            "payload": '{"a": 1}',
            "error": '["ValueError","broken"]' if state is State.FAILED else None,
        }


def around(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The job's tag, and its attempt if it has failed."""
    tag = {"namespace": job["namespace"], "tag": job["tags"][2:-2], "job_id": job["id"]}
    if job["state"] is not State.FAILED:
        return tag, None
    names = ("namespace", "attempt", "token", "worker_id", "started_at", "finished_at", "error")
    return tag, {"job_id": job["id"], "outcome": "failed", **{name: job[name] for name in names}}


async def fill(stores: Stores) -> Day:
    """Fills the empty tables and lets the server count them."""
    day = Day(datetime.now(UTC))  # noqa: TID251 - these stores go by the server's own clock
    made = list(day.jobs())
    hung = [around(job) for job in made]
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        jobs: made,
        tags: [tag for tag, _ in hung],
        attempts: [attempt for _, attempt in hung if attempt],
        workers: [worker(id_, day.now + 3600 * SECOND) for id_ in day.workers]
        + [worker(day._id(day.now), day.now - 60 * SECOND) for _ in range(DEAD_WORKERS)],
        keys: [key(number, day) for number in range(KEYS)],
        pauses: [{"namespace": "space", "queue": "slow", "paused_by": "ann", "paused_at": day.now}],
        **day.timetable.rows(),
    }
    async with stores.database.engine.connect() as connection:
        for table, values in rows.items():
            for chunk in chunks(values, 2000):
                await connection.execute(sa.insert(table), chunk)
        names = ", ".join(table.name for table in metadata.sorted_tables)
        await connection.exec_driver_sql(f"ANALYZE TABLE {names}")
    return day


def worker(id_: str, expires_at: datetime) -> dict[str, Any]:
    return {
        "id": id_,
        "name": "worker",
        "queues": '["default", "mail", "slow"]',
        "slots": 100,
        "rates": "{}",
        "handlers": "[]",
        "version": "1",
        "draining": False,
        "started_at": expires_at - 7200 * SECOND,
        "expires_at": expires_at,
    }


def key(number: int, day: Day) -> dict[str, Any]:
    return {
        "namespace": "default",
        "key": f"key{number}",
        "request_hash": b"1" * 32,
        "job_ids": b"1" * 16,
        "expires_at": day.now + (number - 500) * SECOND,
    }
