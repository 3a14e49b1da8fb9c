"""The schema as SQLAlchemy sees it; `migrations/` brings a database there.

Every table of users' data has a namespace; workers and handlers belong to the installation.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from horae.domain.job import Outcome, State
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
