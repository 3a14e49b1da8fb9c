"""The schema as SQLAlchemy sees it; `migrations/` brings a database there.

Every table of users' data has a namespace; workers and handlers belong to the installation.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from horae.domain.job import Outcome, State
from horae.domain.schedule import Action, BackfillState, Reason, ScheduleState, Verdict
from horae.store.dialect import Id, Key, Moment

metadata = sa.MetaData()

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def _state() -> sa.types.TypeEngine[str]:
    return sa.Enum(*State, name="state", create_constraint=False)


NAME = sa.String(64)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("queue", NAME, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("state", _state(), nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("run_at", Moment, nullable=False),
    sa.Column("wake_at", Moment),
    sa.Column("cancel_requested", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("worker_id", Id),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("first_started_at", Moment),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("expires_at", Moment),
    sa.Column("handler", NAME, nullable=False),
    sa.Column("max_retries", sa.Integer, nullable=False),
    sa.Column("backoff", sa.String(255), nullable=False),
    sa.Column("timeout_us", sa.BigInteger, nullable=False),
    sa.Column("retry_for_seconds", sa.Double),
    sa.Column("idempotency_key", Key),
    sa.Column("schedule_id", Id),
    sa.Column("fire_time", Moment),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("payload", _text(), nullable=False),
    sa.Column("progress", sa.Text),
    sa.Column("result", _text()),
    sa.Column("error", _text()),
    # The claim: WHERE by equality on a lane, ORDER BY the rest. Any other ORDER BY would make SKIP LOCKED useless.
    sa.Index("jobs_claim", "state", "namespace", "queue", "priority", "wake_at", "id"),
    sa.Index("jobs_rescue", "state", "wake_at"),
    sa.Index("jobs_worker", "state", "worker_id"),
    sa.Index("jobs_expiry", "state", "expires_at"),
    sa.Index("jobs_prune", "state", "finished_at"),
    # The lists, newest first.
    sa.Index("jobs_page", "namespace", "id"),
    sa.Index("jobs_page_state", "namespace", "state", "id"),
    sa.Index("jobs_page_handler", "namespace", "handler", "id"),
    sa.Index("jobs_page_queue", "namespace", "queue", "id"),
    sa.Index("jobs_page_schedule", "schedule_id", "id"),
    **_MYSQL,
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("tag", NAME, primary_key=True),
    sa.Column("job_id", Id, primary_key=True),
    sa.Index("tags_job", "job_id"),
    **_MYSQL,
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("outcome", sa.Enum(*Outcome, name="outcome", create_constraint=False), nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("worker_id", Id),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment, nullable=False),
    sa.Column("error", _text()),
    **_MYSQL,
)

keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("key", Key, primary_key=True),
    sa.Column("request_hash", sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb"), nullable=False),
    sa.Column("job_ids", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index("keys_expiry", "expires_at"),
    **_MYSQL,
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("queue", NAME, primary_key=True),
    sa.Column("paused_by", sa.String(255), nullable=False),
    sa.Column("paused_at", Moment, nullable=False),
    **_MYSQL,
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("queues", sa.Text, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("rates", sa.Text, nullable=False),
    sa.Column("handlers", _text(), nullable=False),
    sa.Column("version", NAME, nullable=False),
    sa.Column("health_port", sa.Integer),
    sa.Column("draining", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index("workers_expiry", "expires_at"),
    **_MYSQL,
)

handlers = sa.Table(
    "handlers",
    metadata,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("schema", _text(), nullable=False),
    sa.Column("defaults", sa.Text, nullable=False),
    sa.Column("version", NAME, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    **_MYSQL,
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("name", Key, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Enum(*ScheduleState, name="schedule_state", create_constraint=False), nullable=False),
    sa.Column("cron", sa.String(256)),
    sa.Column("interval_seconds", sa.Integer),
    sa.Column("timezone", NAME, nullable=False),
    sa.Column("start_at", Moment),
    sa.Column("end_at", Moment),
    sa.Column("dst_gap", sa.String(16), nullable=False),
    sa.Column("dst_fold", sa.String(16), nullable=False),
    sa.Column("max_runs", sa.Integer),
    sa.Column("jitter_seconds", sa.Integer, nullable=False),
    sa.Column("misfire", sa.String(16), nullable=False),
    sa.Column("misfire_grace_seconds", sa.Integer, nullable=False),
    sa.Column("overlap", sa.String(16), nullable=False),
    sa.Column("must_succeed_within_seconds", sa.Integer),
    sa.Column("source", Key),
    sa.Column("handler", NAME, nullable=False),
    sa.Column("payload", _text(), nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("tzdata", sa.String(16), nullable=False),
    sa.Column("paused_at", Moment),
    sa.Column("paused_by", sa.String(255)),
    sa.Column("ended_reason", sa.String(1000)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("namespace", "name", name="schedules_name"),
    sa.Index("schedules_tzdata", "tzdata"),
    **_MYSQL,
)

positions = sa.Table(
    # Apart from what users write: fires rewrite these rows in bulk, and whoever changes a schedule locks its row first.
    "schedule_positions",
    metadata,
    sa.Column("schedule_id", Id, primary_key=True),
    sa.Column("next_fire_at", Moment),
    sa.Column("since", Moment, nullable=False),
    sa.Column("last_fire_at", Moment),
    sa.Column("runs", sa.Integer, nullable=False),
    sa.Column("caught_up", sa.Integer, nullable=False),
    sa.Column("target", Moment),
    sa.Column("pauses", _text(), nullable=False),
    sa.Column("earlier", sa.Text, nullable=False),
    sa.Column("streak", sa.String(255), nullable=False),
    sa.Index("positions_due", "next_fire_at", "schedule_id"),
    **_MYSQL,
)

occurrences = sa.Table(
    # INVARIANT: no second job for a fire time. Whoever makes one writes its line in the same transaction.
    "occurrences",
    metadata,
    sa.Column("schedule_id", Id, primary_key=True),
    sa.Column("fire_time", Moment, primary_key=True, autoincrement=False),
    sa.Column("missed", sa.Boolean(create_constraint=False), primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("verdict", sa.Enum(*Verdict, name="verdict", create_constraint=False), nullable=False),
    sa.Column("reason", sa.Enum(*Reason, name="reason", create_constraint=False)),
    sa.Column("detail", sa.String(255)),
    sa.Column("job_id", Id),
    sa.Column("into_fire", Moment),
    sa.Column("until", Moment),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("recorded_at", Moment, nullable=False),
    sa.Column("must_succeed_by", Moment),
    sa.Index("occurrences_verdict", "schedule_id", "verdict", "fire_time"),
    sa.Index("occurrences_page", "namespace", "verdict", "fire_time", "schedule_id"),
    sa.Index("occurrences_absence", "must_succeed_by"),
    **_MYSQL,
)

changes = sa.Table(
    "schedule_changes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("schedule_id", Id, nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("name", Key, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("action", sa.Enum(*Action, name="action", create_constraint=False), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("details", _text(), nullable=False),
    sa.Index("changes_page", "schedule_id", "id"),
    sa.Index("changes_prune", "at"),
    **_MYSQL,
)

backfills = sa.Table(
    "backfills",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("schedule_id", Id, nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("state", sa.Enum(*BackfillState, name="backfill_state", create_constraint=False), nullable=False),
    sa.Column("begin_at", Moment, nullable=False),
    sa.Column("end_at", Moment, nullable=False),
    sa.Column("timing", sa.Text, nullable=False),
    sa.Column("max_concurrent", sa.Integer, nullable=False),
    sa.Column("next_at", Moment),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("made", sa.Integer, nullable=False),
    sa.Column("kept", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("running", sa.Text, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Index("backfills_page", "schedule_id", "id"),
    sa.Index("backfills_running", "state", "id"),
    **_MYSQL,
)
