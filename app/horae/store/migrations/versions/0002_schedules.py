"""Schedules, where they stand, their ledger and history; backfills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from horae.store.dialect import Id, Key, Moment
from horae.store.migrations.steps import create_table

revision = "0002"
down_revision = "0001"

NAME = sa.String(64)
STATES = ("ACTIVE", "PAUSED", "ENDED")
VERDICTS = ("fired", "skipped", "coalesced", "backfilled", "missed")
REASONS = ("misfire", "overlap", "paused", "bound", "no_success")
ACTIONS = (
    "created",
    "updated",
    "paused",
    "resumed",
    "triggered",
    "backfill_started",
    "backfill_cancelled",
    "deleted",
    "ended",
    "moved",
)
BACKFILL_STATES = ("RUNNING", "DONE", "CANCELLED")


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def _enum(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, create_constraint=False)


def upgrade() -> None:
    """Creates everything."""
    _schedules()
    _positions()
    _occurrences()
    _changes()
    _backfills()


def _schedules() -> None:
    create_table(
        "schedules",
        sa.Column("id", Id, primary_key=True),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", _enum("schedule_state", STATES), nullable=False),
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
        indexes={"schedules_tzdata": ["tzdata"]},
    )


def _positions() -> None:
    create_table(
        "schedule_positions",
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
        indexes={"positions_due": ["next_fire_at", "schedule_id"]},
    )


def _occurrences() -> None:
    create_table(
        "occurrences",
        sa.Column("schedule_id", Id, primary_key=True),
        sa.Column("fire_time", Moment, primary_key=True, autoincrement=False),
        sa.Column("missed", sa.Boolean(create_constraint=False), primary_key=True),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("verdict", _enum("verdict", VERDICTS), nullable=False),
        sa.Column("reason", _enum("reason", REASONS)),
        sa.Column("detail", sa.String(255)),
        sa.Column("job_id", Id),
        sa.Column("into_fire", Moment),
        sa.Column("until", Moment),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("recorded_at", Moment, nullable=False),
        sa.Column("must_succeed_by", Moment),
        indexes={
            "occurrences_verdict": ["schedule_id", "verdict", "fire_time"],
            "occurrences_page": ["namespace", "verdict", "fire_time", "schedule_id"],
            "occurrences_absence": ["must_succeed_by"],
        },
    )


def _changes() -> None:
    create_table(
        "schedule_changes",
        sa.Column("id", Id, primary_key=True),
        sa.Column("schedule_id", Id, nullable=False),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("action", _enum("action", ACTIONS), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("details", _text(), nullable=False),
        indexes={"changes_page": ["schedule_id", "id"], "changes_prune": ["at"]},
    )


def _backfills() -> None:
    create_table(
        "backfills",
        sa.Column("id", Id, primary_key=True),
        sa.Column("schedule_id", Id, nullable=False),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("state", _enum("backfill_state", BACKFILL_STATES), nullable=False),
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
        indexes={"backfills_page": ["schedule_id", "id"], "backfills_running": ["state", "id"]},
    )


def downgrade() -> None:
    """Drops everything; only tests and a database without schedules ever want it."""
    for table in ("backfills", "schedule_changes", "occurrences", "schedule_positions", "schedules"):
        op.drop_table(table)
