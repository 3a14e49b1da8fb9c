"""What became of each fire time, and what was done to a schedule."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from aiohttp import web

from horae.api.answers import json_response, page_answer
from horae.api.asked import id_of
from horae.api.context import context_of, namespace_of
from horae.api.models import ListQuery
from horae.api.paging import cut, id_position, position_of
from horae.api.problems import NOT_FOUND
from horae.api.routing import Routes
from horae.api.schedule_answers import HistoryOut, OccurrencesOut, change_answer, occurrence_answer
from horae.api.schedule_models import LedgerQuery, OccurrenceQuery
from horae.domain.errors import InvalidInput
from horae.domain.schedule import Occurrence, Verdict
from horae.store.base_schedules import LedgerFilter, LedgerKey

ledger = Routes("schedules")

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_POSITION = re.compile(r"(-?\d{1,17})/([0-9a-f-]{36})/([01])")


@ledger.get("/schedules/{id}/occurrences", out=OccurrencesOut, refuses=(NOT_FOUND,))
async def list_occurrences(request: web.Request, query: OccurrenceQuery) -> web.Response:
    """List what became of a schedule's fire times.

    One line for each, newest fire time first; also after the schedule was deleted. Beyond 1,000 equal ones in a row
    the further ones share a line.
    """
    return await _page(request, query, query.as_filter(id_of(request, "schedule")))


@ledger.get("/occurrences", out=OccurrencesOut, refuses=(NOT_FOUND,))
async def list_ledger(request: web.Request, query: LedgerQuery) -> web.Response:
    """List what became of the fire times of all schedules.

    All that should have run and did not, and why: `state=skipped,coalesced,missed` with `from` and `to`.
    """
    return await _page(request, query, query.as_filter(query.schedule_id))


async def _page(request: web.Request, query: OccurrenceQuery, where: LedgerFilter) -> web.Response:
    if where.begin is not None and where.end is not None and where.end <= where.begin:
        raise InvalidInput.of("to", "should be later than from")
    namespace = namespace_of(request)
    scope = _scope(namespace, where)
    before = None if query.cursor is None else _key_of(position_of(query.cursor, *scope))
    found = await context_of(request).deps.schedules.occurrences(namespace, where, query.limit + 1, before)
    page, following = cut(found, query.limit, _position, *scope)
    return json_response(page_answer([occurrence_answer(line) for line in page], following))


def _scope(namespace: str, where: LedgerFilter) -> tuple[object, ...]:
    return "ledger", namespace, where.schedule_id, sorted(where.verdicts), where.reason, where.begin, where.end


def _position(line: Occurrence) -> str:
    missed = line.verdict is Verdict.MISSED
    return f"{(line.fire_time - _EPOCH) // _MICROSECOND}/{line.schedule_id}/{missed:d}"


def _key_of(position: str) -> LedgerKey:
    match = _POSITION.fullmatch(position)
    if match is None:
        raise InvalidInput.of("cursor", "is not one that this list gave out for this filter")
    return LedgerKey(_EPOCH + int(match[1]) * _MICROSECOND, match[2], missed=match[3] == "1")


@ledger.get("/schedules/{id}/history", out=HistoryOut, refuses=(NOT_FOUND,))
async def list_history(request: web.Request, query: ListQuery) -> web.Response:
    """List what was done to a schedule, by whom and when.

    The newest first; also after the schedule was deleted.
    """
    namespace, id_ = namespace_of(request), id_of(request, "schedule")
    scope = ("history", namespace, id_)
    before = None if query.cursor is None else id_position(query.cursor, *scope)
    found = await context_of(request).deps.schedules.history(namespace, id_, query.limit + 1, before)
    page, following = cut(found, query.limit, lambda change: change.id, *scope)
    return json_response(page_answer([change_answer(change) for change in page], following))
