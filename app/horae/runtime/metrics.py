"""Every metric of Horae, in one place, under the names and labels that dashboards rely on.

A registry of its own, so that nothing is global. Queues are the only label that users choose: the first 200 keep their
names, all further ones are counted as `other`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from horae.domain.job import Outcome, State

QUEUE_LIMIT = 200
OTHER = "other"

LATENESS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
DURATION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
CLAIM_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class QueueLabels:
    """Bounds how many queues can be told apart."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, queue: str) -> str:
        """The queue's name, or `other` once there are too many."""
        if queue in self._known:
            return queue
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(queue)
        return queue


class DepthCollector(Collector):
    """`queue_depth` as a whole: a scrape never sees half of an update, and queues that are gone vanish."""

    def __init__(self) -> None:
        self.depths: Mapping[tuple[str, str], int] = {}

    def collect(self) -> Iterable[Metric]:
        """The family, from the depths as they were when this was called."""
        family = GaugeMetricFamily("horae_queue_depth", "Jobs that are not final", labels=("queue", "state"))
        for labels, depth in self.depths.items():
            family.add_metric(labels, depth)
        return [family]


class WithoutCreated(Collector):
    """A registry without the `_created` series that the library adds to every counter and histogram."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """The registry's families; they are made anew at each call, so they may be changed."""
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Metrics:
    """What a process counts. Methods speak of what happened; call them in the event loop."""

    def __init__(self, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self.registry = CollectorRegistry()
        self._queues = QueueLabels(queue_limit)
        self._submitted = self._counter("jobs_submitted", "Jobs accepted", "queue")
        self._finished = self._counter("jobs_finished", "Jobs that reached a final state", "queue", "state")
        self._attempts = self._counter("attempts", "Ended attempts", "queue", "outcome")
        self._lateness = self._histogram("job_lateness_seconds", "Start minus run_at", LATENESS_BUCKETS)
        self._duration = self._histogram("job_duration_seconds", "From start to end of an attempt", DURATION_BUCKETS)
        self._claim = self._histogram("claim_seconds", "One claim of due jobs by the database", CLAIM_BUCKETS)
        self._rescued = self._counter("rescued", "Jobs taken up again after a loss", "kind")
        self._stale_writes = self._counter("stale_writes", "Writes refused by a fencing token")
        self._dropped = self._counter(
            "deliveries_dropped", "Deliveries, or references in them, that came to nothing", "reason"
        )
        self._fires = self._counter("schedule_fires", "Occurrences of schedules", "outcome")
        self._absences = self._counter("schedule_absences", "Occurrences of which nothing had succeeded in time")
        self._slots = Gauge("horae_worker_slots", "Slots of this worker", ("state",), registry=self.registry)
        self._depth = DepthCollector()
        self.registry.register(self._depth)

    # -------------------------------------------------------------------------------------------------- what happened

    def jobs_submitted(self, queue: str, count: int = 1) -> None:
        """Jobs were accepted for a queue."""
        self._submitted.labels(self._queues.of(queue)).inc(count)

    def job_started(self, late: float) -> None:
        """A job started, `late` seconds after its run_at; clocks apart may make it negative, which counts as 0."""
        self._lateness.observe(max(late, 0.0))

    def attempt_ended(self, queue: str, outcome: Outcome, seconds: float | None = None) -> None:
        """An attempt ended as `outcome`, after `seconds` if that is known (a rescuer doesn't know)."""
        self._attempts.labels(self._queues.of(queue), outcome.value).inc()
        if seconds is not None:
            self._duration.observe(seconds)

    def jobs_finished(self, queue: str, state: State, count: int = 1) -> None:
        """Jobs of a queue reached a final state."""
        self._finished.labels(self._queues.of(queue), state.value).inc(count)

    def claimed(self, seconds: float) -> None:
        """A claim took so long."""
        self._claim.observe(seconds)

    def handovers_rescued(self, count: int) -> None:
        """T12: queued jobs whose delivery didn't start in time."""
        self._rescue("handover", count)

    def attempts_rescued(self, outcomes: Mapping[Outcome, int]) -> None:
        """T13: running jobs whose worker vanished, or that ran on past their time."""
        for outcome, count in outcomes.items():
            self._rescue(outcome.value, count)

    def jobs_expired(self, count: int) -> None:
        """T18: jobs that may not start any more."""
        self._rescue("expired", count)

    def stale_writes(self, count: int = 1) -> None:
        """Writes were refused, for somebody else owns the jobs now."""
        self._stale_writes.inc(count)

    def deliveries_dropped(self, reason: str, count: int = 1) -> None:
        """Dropped for one of a few fixed reasons: `malformed`, `stale` or `running` (it is in the table already)."""
        self._dropped.labels(reason).inc(count)

    def schedule_fired(self, outcome: str, count: int = 1) -> None:
        """Occurrences of a schedule were written with this outcome of the ledger."""
        self._fires.labels(outcome).inc(count)

    def absence(self) -> None:
        """Nothing had succeeded of an occurrence when something should have."""
        self._absences.inc()

    # -------------------------------------------------------------------------------------------------- how things are

    def worker_slots(self, running: int, free: int) -> None:
        """How many slots are taken, and how many are not."""
        self._slots.labels("running").set(running)
        self._slots.labels("free").set(free)

    def queue_depths(self, depths: Mapping[str, Mapping[State, int]]) -> None:
        """How many jobs each queue holds in each state; replaces what was said before."""
        told: dict[tuple[str, str], int] = {}
        for queue, states in depths.items():
            for state, depth in states.items():
                labels = (self._queues.of(queue), state.value)
                told[labels] = told.get(labels, 0) + depth
        self._depth.depths = told

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics if the Accept header names it, else the plain text form."""
        openmetrics = any(
            part.partition(";")[0].strip() == "application/openmetrics-text" for part in accept.split(",")
        )
        generate = generate_openmetrics if openmetrics else generate_latest
        # In a thread: with hundreds of queues it takes tens of milliseconds.
        body = await asyncio.to_thread(generate, WithoutCreated(self.registry))
        return body, CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4

    # ---------------------------------------------------------------------------------------------------------------

    def _rescue(self, kind: str, count: int) -> None:
        self._rescued.labels(kind).inc(count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"horae_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"horae_{name}", text, buckets=buckets, registry=self.registry)
