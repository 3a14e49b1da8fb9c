"""What a list of jobs is narrowed to, as SQL.

A list is newest first, and only equalities on the beginning of an index let MySQL read it in that order. So a filter is
taken apart into alternatives, one for each state and for each thing that a text may mean; each gives its newest ids,
and the newest of those are the page. With IN or OR in their place all that is found would be read and sorted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import is_id
from horae.store.base import JobFilter
from horae.store.rows import dumps
from horae.store.tables import jobs, tags

ERRORS_SEARCHED = 10_000
"""how many of the newest jobs are searched for words of an error"""

IN_ORDER = "USE INDEX (PRIMARY, jobs_page, jobs_page_state, jobs_page_queue, jobs_page_handler, jobs_page_schedule)"
"""the indexes that have the ids of equal entries in order; from others MySQL would have to sort"""

BEYOND = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""after every id: given no bound at all, MySQL may merge two indexes and sort"""

Conditions = list[sa.ColumnElement[bool]]


def newest(namespace: str, where: JobFilter, limit: int, before: str = BEYOND) -> sa.Subquery:
    """The ids of the newest jobs that the filter finds, older than the job `before`."""
    states: list[Conditions] = [[jobs.c.state == state] for state in sorted(where.states)] or [[]]
    alternatives = [
        sa.select(jobs.c.id)
        .with_hint(jobs, IN_ORDER, "mysql")
        .where(*_common(namespace, where), *state, *meaning, jobs.c.id < before)
        .order_by(jobs.c.id.desc())
        .limit(limit)
        for state in states
        for meaning in _meanings(namespace, where)
    ]
    if len(alternatives) == 1:
        return alternatives[0].subquery("newest")
    ids = _any_of(alternatives)
    return sa.select(ids.c.id).order_by(ids.c.id.desc()).limit(limit).subquery("newest")


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
        conditions.append(jobs.c.created_at >= where.created_after)
    if where.created_before is not None:
        conditions.append(jobs.c.created_at < where.created_before)
    if where.tag is not None:
        conditions.append(_tagged(namespace, where.tag))
    return conditions


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
