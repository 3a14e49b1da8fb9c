"""Jobs, their attempts, tags and keys; pauses; workers and handlers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from horae.store.dialect import Id, Key, Moment
from horae.store.migrations.steps import create_table

revision = "0001"
down_revision = None

NAME = sa.String(64)
STATES = ("PENDING", "QUEUED", "RUNNING", "RETRYING", "SUCCESS", "FAILED", "CANCELLED")
OUTCOMES = ("success", "failed", "timed_out", "cancelled", "lost", "released", "retried")


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(create_constraint=False), nullable=False)


def upgrade() -> None:
    """Creates everything."""
    _jobs()
    _around_jobs()
    _installation()


def _jobs() -> None:
    create_table(
        "jobs",
        sa.Column("id", Id, primary_key=True),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.Enum(*STATES, name="state", create_constraint=False), nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("run_at", Moment, nullable=False),
        sa.Column("wake_at", Moment),
        _flag("cancel_requested"),
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
        indexes={
            "jobs_claim": ["state", "namespace", "queue", "priority", "wake_at", "id"],
            "jobs_rescue": ["state", "wake_at"],
            "jobs_worker": ["state", "worker_id"],
            "jobs_expiry": ["state", "expires_at"],
            "jobs_prune": ["state", "finished_at"],
            "jobs_page": ["namespace", "id"],
            "jobs_page_state": ["namespace", "state", "id"],
            "jobs_page_handler": ["namespace", "handler", "id"],
            "jobs_page_queue": ["namespace", "queue", "id"],
            "jobs_page_schedule": ["schedule_id", "id"],
        },
    )


def _around_jobs() -> None:
    create_table(
        "tags",
        sa.Column("namespace", NAME, primary_key=True),
        sa.Column("tag", NAME, primary_key=True),
        sa.Column("job_id", Id, primary_key=True),
        indexes={"tags_job": ["job_id"]},
    )
    create_table(
        "attempts",
        sa.Column("job_id", Id, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("outcome", sa.Enum(*OUTCOMES, name="outcome", create_constraint=False), nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("worker_id", Id),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=False),
        sa.Column("error", _text()),
    )
    create_table(
        "idempotency_keys",
        sa.Column("namespace", NAME, primary_key=True),
        sa.Column("key", Key, primary_key=True),
        sa.Column(
            "request_hash", sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb"), nullable=False
        ),
        sa.Column("job_ids", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        indexes={"keys_expiry": ["expires_at"]},
    )
    create_table(
        "pauses",
        sa.Column("namespace", NAME, primary_key=True),
        sa.Column("queue", NAME, primary_key=True),
        sa.Column("paused_by", sa.String(255), nullable=False),
        sa.Column("paused_at", Moment, nullable=False),
    )


def _installation() -> None:
    create_table(
        "workers",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("rates", sa.Text, nullable=False),
        sa.Column("handlers", _text(), nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.Column("health_port", sa.Integer),
        _flag("draining"),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        indexes={"workers_expiry": ["expires_at"]},
    )
    create_table(
        "handlers",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("schema", _text(), nullable=False),
        sa.Column("defaults", sa.Text, nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
    )


def downgrade() -> None:
    """Drops everything; only tests and a database without jobs ever want it."""
    for table in ("handlers", "workers", "pauses", "idempotency_keys", "attempts", "tags", "jobs"):
        op.drop_table(table)
