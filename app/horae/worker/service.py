"""The worker: takes deliveries for free slots, starts their jobs, and gives back what it can't run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from horae.broker.base import Broker, Delivery, Publisher
from horae.domain.errors import BrokerUnavailable
from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, Outcome, Reference, State
from horae.domain.transitions import FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED
from horae.runtime.clock import Clock
from horae.runtime.duty import Duty, Stop, run_duties
from horae.runtime.metrics import Metrics
from horae.signals.base import Event, Signals, Topic
from horae.store.base import Finish, Finished, Run, WorkerStore
from horae.worker.executor import Attempt, Executor, failure_of
from horae.worker.judge import judge
from horae.worker.lease import Lease
from horae.worker.progress import Progress
from horae.worker.rates import Rates
from horae.worker.recorder import NotStarted, Recorder, insist
from horae.worker.slots import Slots
from horae.worker.table import Ask, Entry, Table
from horae.worker.watch import Watch

log = structlog.get_logger(__name__)

PREFETCH = 2
"""deliveries of a queue that wait at the worker beside those it has acked"""
PATIENCE = 0.2
"""seconds that a delivered job waits for a slot before it is given back"""
FOREIGN_PAUSE = 5.0
"""seconds until a job is claimed again whose handler this worker hasn't"""
CARRIED_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Lengths of time in seconds."""

    queues: tuple[str, ...]
    drain: float
    retry_window: int


class Worker:
    """One worker process."""

    def __init__(
        self,
        *,
        store: WorkerStore,
        broker: Broker,
        signals: Signals,
        clock: Clock,
        metrics: Metrics,
        lease: Lease,
        rates: Rates,
        recorder: Recorder,
        executor: Executor,
        slots: Slots,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._publisher: Publisher = broker.publisher
        self._signals = signals
        self._clock = clock
        self._metrics = metrics
        self._lease = lease
        self._rates = rates
        self._recorder = recorder
        self._executor = executor
        self._slots = slots
        self._settings = settings
        self._table = Table()
        self._watch = Watch(store, self._table, lease, rates)
        self._consumer = broker.consumer(settings.queues, self.receive, PREFETCH)
        self._tasks: set[asyncio.Task[None]] = set()
        self._riding = 0
        self._draining = False
        lease.on_fence = self._fence
        lease.on_renewed = lambda worker_id: asyncio.ensure_future(self._watch.compare(worker_id))
        signals.listen(Topic.CANCEL, self._watch.wake.set)

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything that it does over and over."""
        return (self._lease, self._watch)

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive."""
        return self._consumer.connected

    # ------------------------------------------------------------------------------------------------------ its life

    async def run(self, stop: Stop, abort: Stop) -> bool:
        """Works until `stop`, then drains; `abort` cuts the drain short. False if the broker was given up."""
        duties_stop = Stop()
        duties = asyncio.create_task(run_duties(self.duties, self._clock, duties_stop))
        consuming = asyncio.create_task(self._consume(stop))
        try:
            await self._lease.trusted()
            await stop.wait()
            await self._drain(abort)
        finally:
            consuming.cancel()
            duties_stop.set()
            await asyncio.wait({duties, consuming})
        await self._lease.end()
        return consuming.cancelled() or consuming.exception() is None

    async def _consume(self, stop: Stop) -> None:
        await self._lease.trusted()
        try:
            await self._consumer.run()
        except BrokerUnavailable as error:
            log.error("worker.broker_given_up", error=str(error))
            stop.set()
            raise

    async def _drain(self, abort: Stop) -> None:
        """Takes nothing more, lets the runs end, and gives back what is left after the limit."""
        self._draining = True
        self._lease.draining = True
        self._lease.wake.set()
        log.info("worker.draining", running=len(self._table), limit=self._settings.drain)
        await self._consumer.stop()
        await self._until_empty(abort, self._settings.drain)
        if left := len(self._table):
            log.warning("worker.drain_limit", released=left)
        for entry in self._table:
            entry.end(Ask.RELEASE)
        await self._until_empty(None, self._lease.seconds)
        self._signals.hint(Topic.DUE)

    async def _until_empty(self, abort: Stop | None, limit: float) -> None:
        waits = [asyncio.ensure_future(self._table.empty.wait())]
        if abort is not None:
            waits.append(asyncio.ensure_future(abort.wait()))
        await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _fence(self, old: WorkerId) -> None:
        for entry in self._table.of(old):
            if entry.running:
                entry.end(Ask.RELEASE)

    def _spawn(self, work: asyncio.Task[None]) -> None:
        self._tasks.add(work)
        work.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("worker.task_failed", error=repr(error), exc_info=error)

    # ---------------------------------------------------------------------------------------------------- deliveries

    def receive(self, delivery: Delivery) -> None:
        """Takes a delivery over from the broker."""
        self._spawn(asyncio.create_task(self._take(delivery)))

    async def _take(self, delivery: Delivery) -> None:
        """Starts every reference of the delivery or gives it back, then acks."""
        worker_id = await self._lease.trusted()
        entries = [entry for r in delivery.references if (entry := self._table.enter(r, worker_id)) is not None]
        self._dropped("duplicate", len(delivery.references) - len(entries))
        until = self._clock.monotonic() + PATIENCE
        while entries:
            taken = await self._slots.take(len(entries), max(0.0, until - self._clock.monotonic()))
            if not taken or self._draining:
                self._slots.give_back(taken)
                await self._give_back(entries)
                break
            await self._start(worker_id, delivery.queue, entries[:taken])
            entries = entries[taken:]
        await delivery.ack()

    async def _start(self, worker_id: WorkerId, queue: str, entries: Sequence[Entry]) -> None:
        sent = self._clock.monotonic()
        answers = await self._recorder.start(worker_id, [entry.reference for entry in entries])
        pairs = list(zip(entries, answers, strict=True))
        started = [(entry, answer) for entry, answer in pairs if isinstance(answer, Run)]
        self._rates.started(queue, len(started))
        for entry, run in started:
            entry.running = True
            if self._clock.monotonic() - sent > self._lease.seconds or worker_id != self._lease.worker_id:
                # Answered so late that the lease may have ended in between: it goes back unrun.
                entry.end(Ask.RELEASE)
            self._spawn(asyncio.create_task(self._run(entry, run, sent)))
        self._slots.give_back(len(entries) - len(started))
        await self._handle_refusals([(e, a) for e, a in pairs if isinstance(a, NotStarted)])

    async def _handle_refusals(self, refusals: Sequence[tuple[Entry, NotStarted]]) -> None:
        def those(*why: NotStarted) -> list[Entry]:
            return [entry for entry, answer in refusals if answer in why]

        stale = those(NotStarted.STALE)
        self._dropped("stale", len(stale))
        for entry in stale:
            self._table.leave(entry)
        if dead := those(NotStarted.DEAD):
            # Held until this worker has fenced itself and has a living row again.
            self._lease.wake.set()
            await self._lease.trusted()
            await self._give_back(dead)
        await self._give_back(those(NotStarted.REFUSED))
        await self._give_back(those(NotStarted.FOREIGN), FOREIGN_PAUSE)

    async def _give_back(self, entries: Sequence[Entry], delay: float = 0.0) -> None:
        """T6."""
        if not entries:
            return
        references = [entry.reference for entry in entries]
        await insist(lambda: self._store.give_back(references, delay))
        for entry in entries:
            self._table.leave(entry)
        self._signals.hint(Topic.DUE)

    def _dropped(self, reason: str, count: int) -> None:
        if count:
            self._metrics.deliveries_dropped(reason, count)

    # ---------------------------------------------------------------------------------------------------------- runs

    async def _run(self, entry: Entry, run: Run, sent: float) -> None:
        """One attempt, from its start to its recorded end."""
        self._metrics.job_started(run.late)
        self._emit(run, State.RUNNING)
        progress = Progress(self._store, self._signals, entry.worker_id, entry.reference, run.namespace)
        remaining = run.timeout_seconds - (self._clock.monotonic() - sent)
        ended = await self._executor.execute(Attempt(run, entry, progress, remaining), self._slots.give_back)
        entry.running = False
        progress.close()
        if entry.ask is not Ask.DROP:
            seconds = self._clock.monotonic() - sent
            await self._record(entry, run, judge(run, ended, seconds, random.random()), seconds)
        self._table.leave(entry)
        self._signals.hint(Topic.ROOM)

    async def _record(self, entry: Entry, run: Run, finish: Finish, seconds: float) -> None:
        finish = self._carry(finish)
        finished = await self._write(entry.worker_id, run, finish)
        if finished.state is None:
            self._metrics.stale_writes()
            return
        self._metrics.attempt_ended(run.queue, finish.outcome, seconds)
        if finished.state in FINAL:
            self._metrics.jobs_finished(run.queue, finished.state)
        self._emit(run, finished.state)
        if finished.carried:
            self._spawn(asyncio.create_task(self._ride(run.queue, finished, finish.delay)))
        elif finish.move in (RETRY_ASKED, FAIL, RELEASE):
            self._signals.hint(Topic.DUE)

    async def _write(self, worker_id: WorkerId, run: Run, finish: Finish) -> Finished:
        try:
            return await self._recorder.finish(worker_id, finish)
        except Exception as error:
            # The database can't keep this one (a value that it refuses): the job must not stay RUNNING for it.
            log.exception("worker.unwritable", job_id=run.id)
            plain = Finish(run.reference, FAIL_FOR_GOOD, Outcome.FAILED, error=failure_of(error))
            return await self._recorder.finish(worker_id, plain)

    def _emit(self, run: Run, state: State) -> None:
        self._signals.emit(Event("job", run.namespace, {"id": run.id, "state": state, "queue": run.queue}))

    # ------------------------------------------------------------------------------------------------------- retries

    def _carry(self, finish: Finish) -> Finish:
        """Whether a delay message shall bring the job back: not too far ahead, and not too many at a time."""
        fits = finish.delay <= self._publisher.longest_delay and self._riding < self._settings.retry_window
        if finish.move not in (FAIL, RETRY_ASKED) or not fits or self._draining:
            return finish
        return Finish(
            finish.reference, finish.move, finish.outcome, finish.result, finish.error, finish.delay, carried=True
        )

    async def _ride(self, queue: str, finished: Finished, delay: float) -> None:
        """T8, T10: the row is committed, now the message. If it is lost T3 finds the row a little later."""
        self._riding += 1
        asyncio.get_running_loop().call_later(delay + CARRIED_GRACE, self._arrived)
        reference = Reference(finished.reference.id, finished.token)
        try:
            await self._publisher.publish_later(queue, reference, delay)
        except BrokerUnavailable as error:
            log.warning("worker.delay_lost", job_id=reference.id, error=str(error))

    def _arrived(self) -> None:
        self._riding -= 1
