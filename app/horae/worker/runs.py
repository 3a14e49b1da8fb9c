"""Runs: one attempt each, from its start to its recorded end and, if it is tried again, the message that brings it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import structlog

from horae.domain.errors import BrokerUnavailable
from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, Failure, Outcome, Reference, State
from horae.domain.transitions import FAIL, FAIL_FOR_GOOD, RETRY_ASKED
from horae.signals.base import Event, Topic
from horae.store.base import Finish, Finished, Run
from horae.worker.executor import Attempt, Executor
from horae.worker.judge import Ended, judge
from horae.worker.ports import Ports
from horae.worker.progress import Progress
from horae.worker.recorder import Recorder
from horae.worker.slots import Slots
from horae.worker.table import Ask, Entry, Table
from horae.worker.tasks import Tasks

log = structlog.get_logger(__name__)

CARRIED_GRACE = 5.0
"""seconds after its time for which a riding retry still counts"""


class Runs:
    """What the worker does with a started job."""

    def __init__(self, ports: Ports, table: Table, slots: Slots, recorder: Recorder, executor: Executor) -> None:
        self._ports = ports
        self.table = table
        self.slots = slots
        self.recorder = recorder
        self._executor = executor
        self.riding = Riding(0)
        self.tasks = Tasks()

    async def run(self, entry: Entry, run: Run, sent: float) -> None:
        """One attempt; `sent` is when its start was sent, by the monotonic clock."""
        ports = self._ports
        ports.metrics.job_started(run.late)
        self._emit(run, State.RUNNING)
        progress = Progress(ports, entry.worker_id, entry.reference, run.namespace)
        remaining = run.timeout_seconds - (ports.clock.monotonic() - sent)
        ended = await self._executor.execute(Attempt(run, entry, progress, remaining), self.slots.give_back)
        entry.running = False
        await progress.close()
        try:
            await self._conclude(entry, run, ended, sent)
        except asyncio.CancelledError:
            # By something that the handler left behind, such as a timer: what is still to be done needs a fresh task.
            self.tasks.spawn(self._conclude(entry, run, ended, sent))
            raise

    async def _conclude(self, entry: Entry, run: Run, ended: Ended, sent: float) -> None:
        """Writes the end of the attempt, unless its row is lost; then the entry leaves, whatever went wrong."""
        seconds = self._ports.clock.monotonic() - sent
        try:
            if entry.ask is not Ask.DROP:
                await self._record(entry.worker_id, run, judge(run, ended, seconds, random.random()), seconds)
        except Exception:
            # Nobody runs it any more, so the next comparison gives its row back.
            log.exception("worker.unrecorded", job_id=run.id)
        self.table.leave(entry)
        self._ports.signals.hint(Topic.ROOM)

    async def _record(self, worker_id: WorkerId, run: Run, finish: Finish, seconds: float) -> None:
        """T7 to T11, T14."""
        finished = await self._carry(worker_id, run, finish)
        if finished.state is None:
            self._ports.metrics.stale_writes()
            return
        self._ports.metrics.attempt_ended(run.queue, finish.outcome, seconds)
        if finish.error is not None:
            _log_failure(run, finish.outcome, finish.error, finished.state)
        if finished.state in FINAL:
            self._ports.metrics.jobs_finished(run.queue, finished.state)
        self._emit(run, finished.state)
        if finished.carried:
            self.tasks.spawn(self._ride(run.queue, finished, finish.delay))
        elif finished.state not in FINAL:
            self._ports.signals.hint(Topic.DUE)

    async def _write(self, worker_id: WorkerId, run: Run, finish: Finish) -> Finished:
        try:
            return await self.recorder.finish(worker_id, finish)
        except Exception as error:
            # The database refuses a value of this one: the job must not stay RUNNING for it.
            log.exception("worker.unwritable", job_id=run.id)
            # Its text may hold the statement with the values of others.
            failure = Failure("unwritable", f"the database refuses the end of this attempt ({type(error).__name__})")
            plain = Finish(run.reference, FAIL_FOR_GOOD, Outcome.FAILED, error=failure)
            return await self.recorder.finish(worker_id, plain)

    async def _carry(self, worker_id: WorkerId, run: Run, finish: Finish) -> Finished:
        """Writes it; a delay message shall bring the job back if that isn't too far ahead, nor too many at a time."""
        again = finish.move in {FAIL, RETRY_ASKED}
        if not again or finish.delay > self._ports.broker.publisher.longest_delay or not self.riding.board():
            return await self._write(worker_id, run, finish)
        stays = 0.0
        try:
            finished = await self._write(worker_id, run, replace(finish, carried=True))
            stays = finish.delay + CARRIED_GRACE if finished.carried else 0.0
        finally:
            self.riding.leave_after(stays)
        return finished

    async def _ride(self, queue: str, finished: Finished, delay: float) -> None:
        """T8, T10: the row is committed, now the message. If it is lost T3 finds the row a little later."""
        reference = Reference(finished.reference.id, finished.token)
        try:
            await self._ports.broker.publisher.publish_later(queue, reference, delay)
        except BrokerUnavailable as error:
            log.warning("worker.delay_lost", job_id=reference.id, error=str(error))

    def _emit(self, run: Run, state: State) -> None:
        self._ports.signals.emit(Event("job", run.namespace, {"id": run.id, "state": state, "queue": run.queue}))


def _log_failure(run: Run, outcome: Outcome, error: Failure, state: State) -> None:
    # Its message and traceback are the job's: what a handler says of its data doesn't belong in the log.
    facts = {"job_id": run.id, "handler": run.handler, "attempt": run.attempt, "schedule_id": run.schedule_id}
    log.warning("attempt.failed", **facts, outcome=outcome, error=error.type, job_is=state)


class Riding:
    """How many retries of this process travel through the broker's delays; the others wait in their rows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._count = 0

    def board(self) -> bool:
        """One more rides, if there is room; it must leave."""
        if self._count >= self.limit:
            return False
        self._count += 1
        return True

    def leave_after(self, seconds: float) -> None:
        """One rides no longer than for so long."""
        asyncio.get_running_loop().call_later(seconds, self._arrived)

    def _arrived(self) -> None:
        self._count -= 1
