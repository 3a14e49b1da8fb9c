"""What a list of jobs is narrowed to, as SQL."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa

from horae.domain.ids import is_id
from horae.store.base import JobFilter
from horae.store.rows import dumps
from horae.store.tables import jobs, tags

ERRORS_SEARCHED = 10_000
"""how many of the newest jobs are searched for words of an error"""

S = TypeVar("S", bound=sa.Select[Any])


def matching(statement: S, namespace: str, where: JobFilter) -> S:
    """The statement, narrowed to the namespace's jobs that the filter finds."""
    conditions: list[sa.ColumnElement[bool]] = [jobs.c.namespace == namespace]
    if where.states:
        conditions.append(jobs.c.state.in_(sorted(where.states)))
    if where.queue is not None:
        conditions.append(jobs.c.queue == where.queue)
    if where.handler is not None:
        conditions.append(jobs.c.handler == where.handler)
    if where.schedule_id is not None:
        conditions.append(jobs.c.schedule_id == where.schedule_id)
    if where.created_after is not None:
        conditions.append(jobs.c.created_at >= where.created_after)
    if where.created_before is not None:
        conditions.append(jobs.c.created_at < where.created_before)
    if where.tag is not None:
        conditions.append(_tagged(namespace, where.tag))
    narrowed = statement.where(*conditions)
    return narrowed if where.text is None else narrowed.where(_says(namespace, where.text, narrowed))


def _tagged(namespace: str, tag: str) -> sa.ColumnElement[bool]:
    return jobs.c.id.in_(sa.select(tags.c.job_id).where(tags.c.namespace == namespace, tags.c.tag == tag))


def _says(namespace: str, text: str, others: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """A job id, the start of a handler's name, a tag, or words of a recent error."""
    if is_id(text):
        return jobs.c.id == text
    # The derived table: MySQL knows no LIMIT directly inside IN.
    recent = others.with_only_columns(jobs.c.id).order_by(jobs.c.id.desc()).limit(ERRORS_SEARCHED).subquery("recent")
    words = [jobs.c.error.icontains(dumps(word)[1:-1], autoescape=True) for word in text.split()]
    return sa.or_(
        jobs.c.handler.startswith(text, autoescape=True),
        _tagged(namespace, text),
        sa.and_(jobs.c.id.in_(sa.select(recent.c.id)), *words),
    )
