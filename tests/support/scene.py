"""A store with jobs in whatever state a test wants, brought there by the store's own moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from horae.domain.ids import JobId, WorkerId
from horae.domain.job import Attempt, Failure, Job, Lane, NewJob, Outcome, Priority, Reference, State
from horae.domain.transitions import FAIL, FAIL_FOR_GOOD, SUCCEED, Move
from horae.store.base import Finish, Finished, JobFilter, Run, Starts
from horae.store.sql import Stores
from tests.support.clock import ManualClock
from tests.support.factories import HANDLER, LEASE, new_job, new_worker

NAMESPACE = "default"
EVERYTHING = JobFilter()
BROKEN = Failure("ValueError", "broken", "Traceback: …")
HANDLERS = frozenset({HANDLER})


@dataclass(frozen=True)
class Sight:
    """All that users can see of a job."""

    job: Job | None
    attempts: tuple[Attempt, ...]


class Scene:
    """Stores, the clock that they take their time from, and one live worker."""

    def __init__(self, stores: Stores, clock: ManualClock, worker: WorkerId) -> None:
        self.stores = stores
        self.clock = clock
        self.worker = worker

    @classmethod
    async def set(cls, stores: Stores, clock: ManualClock) -> Scene:
        """A scene with a registered worker."""
        made = cls(stores, clock, WorkerId(""))
        made.worker = await made.new_worker()
        return made

    # ------------------------------------------------------------------------------------------------------- workers

    async def new_worker(self, lease: float = LEASE, **fields: Any) -> WorkerId:
        """One more live worker."""
        worker = new_worker(self.clock, **fields)
        await self.stores.registry.register(worker, lease)
        return worker.id

    async def kill(self, worker: WorkerId | None = None) -> None:
        """Ends the worker's lease."""
        await self.stores.registry.retire(worker or self.worker)

    async def turn(self, seconds: float) -> None:
        """Lets time pass, the scene's worker alive all the while."""
        while seconds > 0:
            step = min(seconds, LEASE / 3)
            self.clock.turn(step)
            assert await self.stores.registry.renew(self.worker, LEASE, {}, draining=False)
            seconds -= step

    # ---------------------------------------------------------------------------------------------------------- jobs

    def new(self, **fields: Any) -> NewJob:
        """A job to submit."""
        return new_job(self.clock, **fields)

    async def submit(self, namespace: str = NAMESPACE, **fields: Any) -> JobId:
        """A PENDING job."""
        submitted = await self.stores.jobs.submit(namespace, [self.new(**fields)])
        return submitted.ids[0]

    async def see(self, job_id: str, namespace: str = NAMESPACE) -> Sight:
        """What users see of the job, also once it is gone."""
        jobs = self.stores.jobs
        return Sight(await jobs.get(namespace, job_id), tuple(await jobs.attempts(namespace, job_id)))

    async def job(self, job_id: str, namespace: str = NAMESPACE) -> Job:
        """The job, which must be there."""
        found = await self.stores.jobs.get(namespace, job_id)
        assert found is not None
        return found

    async def ids(self, where: JobFilter = EVERYTHING, limit: int = 50, **options: Any) -> list[JobId]:
        """The jobs that the filter finds, as listed."""
        page = await self.stores.jobs.page(options.pop("namespace", NAMESPACE), where, limit, **options)
        return [job.id for job in page]

    async def claim(self, limit: int = 1000, queue: str = "default", namespace: str = NAMESPACE) -> list[Reference]:
        """Claims what is due in a lane of normal priority."""
        return await self.stores.dispatch.claim(Lane(namespace, queue, Priority.NORMAL), limit, LEASE)

    async def start(self, *references: Reference, worker: WorkerId | None = None) -> Starts:
        """Starts them on the worker."""
        return await self.stores.worker.start(worker or self.worker, references, HANDLERS, LEASE)

    async def finish(self, reference: Reference, move: Move, worker: WorkerId | None = None, **fields: Any) -> Finished:
        """Ends the run by that move."""
        outcome = fields.pop("outcome", move.outcome)
        assert outcome is not None
        finish = Finish(reference, move, outcome, **fields)
        return (await self.stores.worker.finish(worker or self.worker, [finish]))[0]

    # -------------------------------------------------------------------------------------------------------- states

    async def queued(self, **fields: Any) -> Reference:
        """A QUEUED job that is due now."""
        job = await self.submit(**fields)
        lane = Lane(fields.get("namespace", NAMESPACE), fields.get("queue", "default"), Priority.NORMAL)
        claimed = await self.stores.dispatch.claim(lane, 1000, LEASE)
        return next(reference for reference in claimed if reference.id == job)

    async def run(self, worker: WorkerId | None = None, **fields: Any) -> Run:
        """A RUNNING job, with what its worker was told of it."""
        starts = await self.start(await self.queued(**fields), worker=worker)
        return starts.started[0]

    async def again(self, job_id: JobId, worker: WorkerId | None = None) -> Run:
        """Claims and starts a job that waits to be tried again."""
        claimed = {reference.id: reference for reference in await self.claim()}
        return (await self.start(claimed[job_id], worker=worker)).started[0]

    async def reach(self, state: State, **fields: Any) -> Reference:
        """A job in that state, with its current token. A RETRYING one is due at once."""
        if state is State.PENDING:
            return await self._current(await self.submit(**fields))
        if state is State.QUEUED:
            return await self.queued(**fields)
        if state is State.CANCELLED:
            job_id = await self.submit(**fields)
            await self.stores.jobs.cancel(fields.get("namespace", NAMESPACE), [job_id])
            return await self._current(job_id, fields.get("namespace", NAMESPACE))
        run = await self.run(**fields)
        await self._end(run.reference, state)
        return await self._current(run.id, fields.get("namespace", NAMESPACE))

    async def _end(self, reference: Reference, state: State) -> None:
        match state:
            case State.RETRYING:
                await self.finish(reference, FAIL, error=BROKEN)
            case State.FAILED:
                await self.finish(reference, FAIL_FOR_GOOD, error=BROKEN)
            case State.SUCCESS:
                await self.finish(reference, SUCCEED, result='{"a": 1}')

    async def _current(self, job_id: JobId, namespace: str = NAMESPACE) -> Reference:
        return Reference(job_id, (await self.job(job_id, namespace)).token)

    async def failed(self, failure: Failure, **fields: Any) -> JobId:
        """A FAILED job with that error."""
        run = await self.run(**fields)
        await self.finish(run.reference, FAIL_FOR_GOOD, error=failure)
        return run.id

    async def lose(self, reference: Reference) -> None:
        """Rescues the run from a worker that vanished; afterwards it is due again and the scene has a new worker."""
        await self.kill()
        rescued = await self.stores.rescue.rescue_attempts(1000)
        assert rescued[Outcome.LOST] == 1
        self.clock.turn(2 * (await self.job(reference.id)).backoff.max_seconds)
        self.worker = await self.new_worker()

    def at(self, seconds: float) -> datetime:
        """So many seconds from now."""
        return self.clock.now() + timedelta(seconds=seconds)


def with_token(reference: Reference, rise: int) -> Reference:
    """The same job with another token."""
    return reference._replace(token=reference.token + rise)
