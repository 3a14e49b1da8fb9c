"""What `Client` can do with schedules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Unpack

from horae.client import requests
from horae.client import schedule_requests as bodies
from horae.client.calls import LARGEST_PAGE, Calls, at_page, each_of, quoted
from horae.client.model import Job, Page
from horae.client.requests import JobBody
from horae.client.schedule_model import (
    Backfill,
    Fire,
    HistoryEntry,
    Occurrence,
    Preview,
    Schedule,
    ScheduleUpdate,
)
from horae.client.schedule_requests import LedgerFilter, ScheduleChanges, ScheduleFields, ScheduleFilter
from horae.client.transport import Ask


class ScheduleCalls(Calls):
    """Every method raises NotFound where it is given an id that isn't known."""

    # -------------------------------------------------------------------------------------------------- one schedule

    async def create_schedule(self, name: str, job: JobBody, **fields: Unpack[ScheduleFields]) -> Schedule:
        """A new schedule: `new_job` makes its `job`, one of `cron` and `interval_seconds` says when it fires.

        Not repeated by itself after a lost connection: list by its name then to learn what became of it.

        Raises:
            Invalid: fields are wrong, or no fire time is left within its bounds.
            Conflict: another schedule has the name; `problem.extra["id"]` is that one's.
        """
        body = bodies.schedule_body({"name": name, "job": job, **fields})
        return await self._schedule(Ask("POST", "/schedules", body=body, repeatable=False))

    async def get_schedule(self, schedule_id: str) -> Schedule:
        """The schedule as it is now."""
        return await self._schedule(Ask("GET", _path(schedule_id)))

    async def update_schedule(
        self, schedule_id: str, version: int, **changes: Unpack[ScheduleChanges]
    ) -> ScheduleUpdate:
        """Changes a schedule, if it is still of that version. `cron` replaces `interval_seconds`, and the reverse.

        Raises:
            Stale: it was changed since; read it again.
            Invalid: fields are wrong.
            Conflict: another schedule has the new name.
        """
        body, headers = bodies.schedule_changes(changes), {"If-Match": f'"{version}"'}
        ask = Ask("PATCH", _path(schedule_id), body=body, headers=headers, repeatable=False)
        answer = await self._send(ask)
        fires = self._member(answer, lambda content: content.get("next_fires") or {})
        return ScheduleUpdate(
            self._read(Schedule, answer),
            *(tuple(self._read(Fire, fire) for fire in fires.get(side, ())) for side in ("before", "after")),
        )

    async def delete_schedule(self, schedule_id: str) -> None:
        """Ends it and its backfills; its jobs, ledger and history stay.

        Repeated after a lost connection: NotFound may mean then that the first time was enough.
        """
        await self._send(Ask("DELETE", _path(schedule_id)))

    async def pause_schedule(self, schedule_id: str) -> Schedule:
        """Fire times go by, and are written down as skipped, until it is resumed. Raises Conflict if it has ended."""
        return await self._schedule(Ask("POST", f"{_path(schedule_id)}/pause"))

    async def resume_schedule(self, schedule_id: str) -> Schedule:
        """Fire times count again from now on. Raises Conflict if it has ended."""
        return await self._schedule(Ask("POST", f"{_path(schedule_id)}/resume"))

    async def trigger_schedule(self, schedule_id: str) -> Job:
        """A job of it now, whatever its state; it isn't counted in `runs`. Not repeated by itself."""
        return await self._one(Job, Ask("POST", f"{_path(schedule_id)}/trigger", repeatable=False))

    async def preview_schedule(self, schedule_id: str, *, count: int = 10, begin: datetime | None = None) -> Preview:
        """The next `count` (1-1000) fire times of a stored schedule, after now or from `begin` on."""
        query = bodies.preview_query(count, begin)
        return await self._one(Preview, Ask("GET", f"{_path(schedule_id)}/preview", query=query))

    async def preview(
        self, *, count: int = 10, begin: datetime | None = None, **fields: Unpack[ScheduleChanges]
    ) -> Preview:
        """The same of one that isn't stored. Raises Invalid."""
        body = bodies.preview_body(fields, count, begin)
        return await self._one(Preview, Ask("POST", "/schedules/preview", body=body))

    # ------------------------------------------------------------------------------------------------ many schedules

    async def list_schedules(
        self, *, limit: int = 50, cursor: str | None = None, **where: Unpack[ScheduleFilter]
    ) -> Page[Schedule]:
        """A page of at most 200 schedules, by name."""
        query = at_page(requests.query(where), limit, cursor)
        return await self._page(Schedule, Ask("GET", "/schedules", query=query))

    def schedules(self, **where: Unpack[ScheduleFilter]) -> AsyncGenerator[Schedule, None]:
        """Every schedule that the filter finds, by name, page by page."""
        return each_of(lambda cursor: self.list_schedules(limit=LARGEST_PAGE, cursor=cursor, **where))

    # ------------------------------------------------------------------------------------------- ledger and history

    async def list_occurrences(
        self,
        schedule_id: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        **where: Unpack[LedgerFilter],
    ) -> Page[Occurrence]:
        """A page of at most 200 lines of the ledger, newest fire time first; of every schedule if none is named.

        Those of a schedule that was deleted are there as well.
        """
        path = "/occurrences" if schedule_id is None else f"{_path(schedule_id)}/occurrences"
        query = at_page(bodies.ledger_query(where), limit, cursor)
        return await self._page(Occurrence, Ask("GET", path, query=query))

    def occurrences(
        self, schedule_id: str | None = None, **where: Unpack[LedgerFilter]
    ) -> AsyncGenerator[Occurrence, None]:
        """Every line that the filter finds, page by page."""
        return each_of(lambda cursor: self.list_occurrences(schedule_id, limit=LARGEST_PAGE, cursor=cursor, **where))

    async def list_history(self, schedule_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[HistoryEntry]:
        """A page of at most 200 things that were done to the schedule, newest first; also after it was deleted."""
        ask = Ask("GET", f"{_path(schedule_id)}/history", query=at_page({}, limit, cursor))
        return await self._page(HistoryEntry, ask)

    def history(self, schedule_id: str) -> AsyncGenerator[HistoryEntry, None]:
        """Everything that was done to it, page by page."""
        return each_of(lambda cursor: self.list_history(schedule_id, limit=LARGEST_PAGE, cursor=cursor))

    # ------------------------------------------------------------------------------------------------------ backfills

    async def backfill(self, schedule_id: str, begin: datetime, end: datetime, *, max_concurrent: int = 1) -> Backfill:
        """Starts making the jobs of a past range that have none, oldest first, at most 1-100 of them at a time.

        Both ends are inclusive. Not repeated by itself after a lost connection.

        Raises:
            Invalid: the range holds no fire time, or more than 10,000.
        """
        body = {**bodies.span(begin, end), "max_concurrent": max_concurrent}
        return await self._one(Backfill, Ask("POST", f"{_path(schedule_id)}/backfill", body=body, repeatable=False))

    async def list_backfills(self, schedule_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Backfill]:
        """A page of at most 200 backfills of the schedule, newest first."""
        return await self._page(Backfill, Ask("GET", _backfills(schedule_id), query=at_page({}, limit, cursor)))

    def backfills(self, schedule_id: str) -> AsyncGenerator[Backfill, None]:
        """Every backfill of the schedule, newest first, page by page."""
        return each_of(lambda cursor: self.list_backfills(schedule_id, limit=LARGEST_PAGE, cursor=cursor))

    async def get_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """The backfill as it is now."""
        return await self._one(Backfill, Ask("GET", _backfills(schedule_id, backfill_id)))

    async def cancel_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """No further job is made, those that aren't final are cancelled. Raises Conflict if it is done."""
        return await self._one(Backfill, Ask("POST", f"{_backfills(schedule_id, backfill_id)}/cancel"))

    async def _schedule(self, ask: Ask) -> Schedule:
        return await self._one(Schedule, ask)


def _path(schedule_id: str) -> str:
    return f"/schedules/{quoted(schedule_id)}"


def _backfills(schedule_id: str, *backfill_id: str) -> str:
    return "/".join([f"{_path(schedule_id)}/backfills", *(quoted(id_) for id_ in backfill_id)])
