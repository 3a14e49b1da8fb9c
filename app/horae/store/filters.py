"""What a list of jobs is narrowed to, as SQL.

A list is newest first, and only equalities on the beginning of an index let MySQL read it in that order. So a filter is
taken apart into alternatives, one for each state and for each thing that a text may mean; each gives its newest ids,
and the newest of those are the page. With IN or OR in their place all that is found would be read and sorted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import first_id, is_id
from horae.runtime.clock import unix_ms
from horae.store.base import JobFilter
from horae.store.rows import dumps
from horae.store.tables import jobs, tags

ERRORS_SEARCHED = 10_000
"""how many of the newest jobs are searched for words of an error"""

APART = timedelta(hours=1)
"""by how much a clock that makes ids may differ from the database's before filters by time miss jobs"""

Conditions = list[sa.ColumnElement[bool]]


def newest(namespace: str, where: JobFilter, limit: int, before: str | None = None) -> sa.Subquery:
    """The ids of the newest jobs that the filter finds, older than the job `before`."""
    older = [] if before is None else [jobs.c.id < before]
    states: list[Conditions] = [[jobs.c.state == state] for state in sorted(where.states)] or [[]]
    alternatives = [
        _newest_of(sa.select(jobs.c.id).where(*_common(namespace, where), *state, *meaning, *older), jobs.c.id, limit)
        for state in states
        for meaning in _meanings(namespace, where)
    ]
    if len(alternatives) == 1:
        return alternatives[0].subquery("newest")
    ids = _any_of(alternatives)
    return _newest_of(sa.select(ids.c.id), ids.c.id, limit).subquery("newest")


def _newest_of(ids: sa.Select[Any], id_: sa.ColumnElement[Any], limit: int) -> sa.Select[Any]:
    return ids.order_by(id_.desc()).limit(limit)


def found(namespace: str, where: JobFilter) -> sa.Subquery:
    """The ids of all jobs that the filter finds, in no order."""
    states = [jobs.c.state.in_(sorted(where.states))] if where.states else []
    alternatives = [
        sa.select(jobs.c.id).where(*_common(namespace, where), *states, *meaning)
        for meaning in _meanings(namespace, where)
    ]
    return alternatives[0].subquery("found") if len(alternatives) == 1 else _any_of(alternatives)


def _any_of(alternatives: Iterable[sa.Select[Any]]) -> sa.Subquery:
    """Each id that one of them finds, once."""
    return sa.union(*(sa.select(each.subquery().c.id) for each in alternatives)).subquery("found")


def _common(namespace: str, where: JobFilter) -> Conditions:
    given = {
        jobs.c.queue: where.queue,
        jobs.c.handler: where.handler,
        jobs.c.schedule_id: where.schedule_id,
    }
    conditions = [
        jobs.c.namespace == namespace,
        *(column == value for column, value in given.items() if value is not None),
    ]
    if where.created_after is not None:
        conditions += [jobs.c.created_at >= where.created_after, jobs.c.id >= _id_at(where.created_after - APART)]
    if where.created_before is not None:
        conditions += [jobs.c.created_at < where.created_before, jobs.c.id < _id_at(where.created_before + APART)]
    if where.tag is not None:
        conditions.append(_tagged(namespace, where.tag))
    return conditions


def _id_at(moment: datetime) -> str:
    """Ids begin with their time: a bound on them spares reading all that is newer or older."""
    return first_id(max(0, unix_ms(moment)))


def _tagged(namespace: str, tag: str) -> sa.ColumnElement[bool]:
    return jobs.c.id.in_(sa.select(tags.c.job_id).where(tags.c.namespace == namespace, tags.c.tag == tag))


def _meanings(namespace: str, where: JobFilter) -> list[Conditions]:
    """What the text may be: a job id; else the start of a handler's name, a tag, or words of a recent error."""
    if where.text is None:
        return [[]]
    if is_id(where.text):
        return [[jobs.c.id == where.text]]
    recent = newest(namespace, replace(where, text=None), ERRORS_SEARCHED)
    words = [jobs.c.error.icontains(dumps(word)[1:-1], autoescape=True) for word in where.text.split()]
    return [
        [jobs.c.handler.startswith(where.text, autoescape=True)],
        [_tagged(namespace, where.text)],
        [jobs.c.id.in_(sa.select(recent.c.id)), *words],
    ]
