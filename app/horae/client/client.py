"""The asynchronous client of the REST API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Unpack
from uuid import uuid4

from horae.client import requests
from horae.client.calls import LARGEST_PAGE, at_page, each_of, quoted
from horae.client.errors import BadAnswer, Conflict, NotFinished
from horae.client.model import ActionProgress, Attempt, HandlerInfo, Job, Page, Queue, Stats, Worker, read
from horae.client.requests import JobBody, JobChanges, JobFields, JobFilter
from horae.client.schedules import ScheduleCalls
from horae.client.transport import Ask

LONGEST_WAIT = 50.0
"""seconds that one request waits for a job: the api allows 60, but many a proxy gives up on a silence of a minute"""

OnProgress = Callable[[ActionProgress], None]


class Client(ScheduleCalls):
    """Speaks to one api. `url` and `token` default to HORAE_URL and HORAE_TOKEN; the token bounds the namespace.

    May be used at once or as `async with`; `close()` ends its connections. What reads, cancels, pauses, resumes or
    submits is sent again when the connection is lost or the server says 503 (see `Retries`): a submission without
    an idempotency key gets a random one, so that it is never carried out twice. Every method may raise a
    `ClientError`.

    Raises:
        ValueError: the URL isn't one of http or https.
    """

    # ------------------------------------------------------------------------------------------------------- one job

    async def submit(self, handler: str, payload: Mapping[str, Any] | None = None, **fields: Unpack[JobFields]) -> Job:
        """Submits one job and answers it as stored.

        Raises:
            Invalid: fields are wrong, the payload doesn't fit the handler, or no such handler is known.
            Conflict: the idempotency key was used for another job within 24 hours.
        """
        body = requests.new_job(handler, payload, **fields)
        return await self._job(Ask("POST", "/jobs", body={"idempotency_key": uuid4().hex, **body}))

    async def submit_many(self, jobs: Iterable[JobBody], *, idempotency_key: str | None = None) -> tuple[str, ...]:
        """Submits all or none, in one transaction, and answers their ids in order: up to 10,000 jobs and 32 MiB.

        `new_job` makes what `jobs` holds. For more, see `chunks`, and give each request a key of its own.

        Raises:
            Invalid: a job is wrong; the field begins with its index (`jobs.17.payload`).
            Conflict: a key was used for something else.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        answer = await self._send(Ask("POST", "/jobs/bulk", body={"jobs": list(jobs)}, headers=headers))
        return self._member(answer, lambda content: tuple(content["ids"]))

    async def get(self, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return await self._job(Ask("GET", _job_path(job_id)))

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:  # noqa: ASYNC109 - what callers expect
        """Waits until the job is final and answers it; `timeout` in seconds, None for as long as it takes.

        Raises:
            NotFinished: the time is over and the job goes on.
        """
        began = self._clock.monotonic()
        while True:
            left = LONGEST_WAIT if timeout is None else timeout - (self._clock.monotonic() - began)
            job = await self._look(job_id, min(left, LONGEST_WAIT))
            if job.is_final:
                return job
            if timeout is not None and self._clock.monotonic() - began >= timeout:
                raise NotFinished(job_id, job.state, timeout)

    async def watch(self, job_id: str, *, every: float = 0.5) -> AsyncGenerator[Job, None]:
        """Yields the job now and after each change seen, up to its final state. `every`: seconds between two looks."""
        seen: Job | None = None
        while seen is None or not seen.is_final:
            job = await (self.get(job_id) if seen is None else self._look(job_id, every))
            if job != seen:
                yield job
            seen = job

    async def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """Every ended attempt, oldest first."""
        return (await self._page(Attempt, Ask("GET", f"{_job_path(job_id)}/attempts"))).items

    async def edit(self, job: Job, **changes: Unpack[JobChanges]) -> Job:
        """Changes a PENDING job, if it is still as it was when `job` was read; answers it as it is then.

        Raises:
            Stale: it was changed since; read it again.
            Conflict: it isn't PENDING any more.
        """
        body, headers = requests.changes(changes), {"If-Match": f'"{job.version}"'}
        return await self._job(Ask("PATCH", _job_path(job.id), body=body, headers=headers, repeatable=False))

    async def cancel(self, job_id: str) -> Job:
        """Cancels what waits; asks what runs to stop (`cancel_requested`). Raises Conflict if it ended otherwise."""
        return await self._job(Ask("POST", f"{_job_path(job_id)}/cancel"))

    async def retry(self, job_id: str) -> Job:
        """Starts a FAILED or CANCELLED job anew, PENDING now, with no failures. Raises Conflict in other states.

        Not repeated by itself after a lost connection: read the job then to learn what became of it.
        """
        return await self._job(Ask("POST", f"{_job_path(job_id)}/retry", repeatable=False))

    # ------------------------------------------------------------------------------------------------------ many jobs

    async def list(self, *, limit: int = 50, cursor: str | None = None, **where: Unpack[JobFilter]) -> Page[Job]:
        """A page of at most 200 jobs, newest first."""
        return await self._page(Job, Ask("GET", "/jobs", query=at_page(requests.query(where), limit, cursor)))

    def iterate(self, **where: Unpack[JobFilter]) -> AsyncGenerator[Job, None]:
        """Every job that the filter finds, newest first, page by page."""
        return each_of(lambda cursor: self.list(limit=LARGEST_PAGE, cursor=cursor, **where))

    async def count(self, **where: Unpack[JobFilter]) -> int:
        """How many jobs the filter finds, at this moment."""
        # An action without the expected count is refused, and the refusal tells the true one.
        try:
            await self._act("cancel", where, None, None)
        except Conflict as refusal:
            extra = refusal.problem.extra
            return self._member(extra, lambda content: int(content["count"]))
        raise BadAnswer(self.url, "an action without an expected count isn't refused")

    async def cancel_all(
        self, *, expected_count: int | None = None, progress: OnProgress | None = None, **where: Unpack[JobFilter]
    ) -> ActionProgress:
        """Cancels every job that the filter finds. `progress` is called after each thousand.

        Raises:
            Conflict: the filter finds another number than `expected_count`; nothing was done.
        """
        return await self._act_on_all("cancel", where, expected_count, progress)

    async def retry_all(
        self, *, expected_count: int | None = None, progress: OnProgress | None = None, **where: Unpack[JobFilter]
    ) -> ActionProgress:
        """Retries every FAILED or CANCELLED job that the filter finds; see `cancel_all`."""
        return await self._act_on_all("retry", where, expected_count, progress)

    async def delete_all(
        self, *, expected_count: int | None = None, progress: OnProgress | None = None, **where: Unpack[JobFilter]
    ) -> ActionProgress:
        """Deletes every final job that the filter finds, with its attempts; see `cancel_all`."""
        return await self._act_on_all("delete", where, expected_count, progress)

    # ------------------------------------------------------------------------------------------- queues, workers, all

    async def queues(self) -> tuple[Queue, ...]:
        """Every known queue, by name."""
        return (await self._page(Queue, Ask("GET", "/queues"))).items

    async def pause(self, queue: str) -> None:
        """No job of the queue starts in this namespace until it is resumed; what runs goes on."""
        await self._send(Ask("POST", f"/queues/{quoted(queue)}/pause"))

    async def resume(self, queue: str) -> None:
        """Ends the pause, if there is one."""
        await self._send(Ask("POST", f"/queues/{quoted(queue)}/resume"))

    async def workers(self) -> tuple[Worker, ...]:
        """Live workers and, for an hour, dead ones."""
        return (await self._page(Worker, Ask("GET", "/workers"))).items

    async def handlers(self) -> tuple[HandlerInfo, ...]:
        """Every handler that jobs may name."""
        return (await self._page(HandlerInfo, Ask("GET", "/handlers"))).items

    async def stats(self) -> Stats:
        """Jobs by state, queues, workers: the state of things at a glance."""
        return read(Stats, await self._send(Ask("GET", "/stats")), self.url)

    # ------------------------------------------------------------------------------------------------------- plumbing

    async def _act_on_all(
        self, action: str, where: JobFilter, expected: int | None, progress: OnProgress | None
    ) -> ActionProgress:
        expected = await self.count(**where) if expected is None else expected
        so_far = ActionProgress(matched=expected)
        cursor: str | None = None
        while True:
            answer = await self._act(action, where, expected, cursor)
            step = read(ActionProgress, answer, self.url)
            so_far = ActionProgress(expected, so_far.done + step.done, so_far.refused + step.refused)
            if progress is not None:
                progress(so_far)
            cursor = self._member(answer, lambda content: content["next_cursor"])
            if cursor is None:
                return so_far

    async def _act(self, action: str, where: JobFilter, expected: int | None, cursor: str | None) -> Any:
        body = requests.action_body(action, where, expected, cursor)
        # The first call again would find another count than before; with a cursor it goes on from there.
        return await self._send(Ask("POST", "/jobs/actions", body=body, repeatable=cursor is not None))

    async def _look(self, job_id: str, seconds: float) -> Job:
        """The job as soon as it is final, or after so many seconds."""
        seconds, began = max(0.0, seconds), self._clock.monotonic()
        job = await self._job(Ask("GET", _job_path(job_id), query={"wait": f"{seconds:.3f}"}, patience=seconds))
        left = seconds - (self._clock.monotonic() - began)
        if not job.is_final and left > 0:
            # An api that is about to end answers at once: don't ask it without pause.
            await asyncio.sleep(min(left, 0.2))
        return job

    async def _job(self, ask: Ask) -> Job:
        return await self._one(Job, ask)


def _job_path(job_id: str) -> str:
    return f"/jobs/{quoted(job_id)}"
