"""What the demo submits, and how each part of it is to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from horae.cli.demo.series import Series
from horae.client import Backoff, Client, Job, JobFields, Schedule, State, new_job


@dataclass(frozen=True, slots=True)
class Act:
    """A job to be shown. `cancel_after`: seconds after which it is cancelled."""

    title: str
    handler: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    fields: JobFields = field(default_factory=JobFields)
    ends: State = State.SUCCESS
    attempt: int | None = None
    cancel_after: float | None = None

    def as_expected(self, job: Job) -> bool:
        """Whether a final job ended as it should."""
        return job.state is self.ends and (self.attempt is None or job.attempt == self.attempt)


@dataclass(frozen=True, slots=True)
class Recurring:
    """A schedule to be shown, which ends by itself after `runs` fires."""

    title: str
    name: str
    handler: str
    payload: Mapping[str, Any]
    interval_seconds: int
    runs: int

    def as_expected(self, series: Series) -> bool:
        """Whether it ended with all of its fires, each with a job that succeeded."""
        all_succeeded = all(job.succeeded for job in series.jobs)
        return series.is_final and all_succeeded and len(series.jobs) == series.schedule.runs == self.runs


@dataclass(frozen=True, slots=True)
class Program:
    """All that is shown, in order."""

    acts: Sequence[Act]
    recurring: Recurring


@dataclass(frozen=True, slots=True)
class Scene:
    """All of it as it is now: a job for each act in their order, and the schedule."""

    jobs: Sequence[Job]
    series: Series

    @property
    def is_final(self) -> bool:
        """Whether all of it has ended."""
        return self.series.is_final and all(job.is_final for job in self.jobs)


def program(web_address: str) -> Program:
    """The program; `web_address` is what the HTTP job calls."""
    ticking = Recurring("fires every 3 seconds, 3 times", "demo.tick", "echo", {"tick": "tock"}, 3, 3)
    return Program(acts(web_address), ticking)


def acts(web_address: str) -> list[Act]:
    """Its jobs."""
    steady = Backoff(kind="fixed", base_seconds=2, jitter=0)
    return [
        Act("runs at once", "echo", {"hello": "world"}, attempt=1),
        Act("starts in 6 seconds", "echo", {"patience": "rewarded"}, {"delay": 6}, attempt=1),
        Act("fails twice, then succeeds", "fail", {"times": 2}, {"backoff": steady}, attempt=3),
        Act("calls a web address", "http", {"url": web_address}, attempt=1),
        Act("tells its progress", "demo.report", {"pages": 20}, attempt=1),
        Act("is a plain function, in a thread", "demo.primes", {"below": 200_000}, attempt=1),
        Act("finds that retries are of no use", "demo.charge", {"card": "4000 0002"}, ends=State.FAILED, attempt=1),
        Act("is cancelled while it runs", "sleep", {"seconds": 60}, ends=State.CANCELLED, cancel_after=4),
        Act("is cancelled while it waits", "noop", {}, {"delay": 3600}, State.CANCELLED, 0, 3),
    ]


async def submit(client: Client, act: Act, tag: str) -> Job:
    """Submits it."""
    fields = JobFields(**act.fields)
    fields["tags"] = [tag]
    return await client.submit(act.handler, act.payload, **fields)


async def create(client: Client, recurring: Recurring, tag: str) -> Schedule:
    """Creates it; its jobs have the tag too."""
    job = new_job(recurring.handler, recurring.payload, tags=[tag])
    return await client.create_schedule(
        recurring.name, job, interval_seconds=recurring.interval_seconds, max_runs=recurring.runs
    )


async def again(client: Client, scene: Scene, tag: str) -> Scene:
    """All of it as it is now."""
    # First the schedule: of one that is ENDED here, every job is listed below.
    schedule = await client.get_schedule(scene.series.schedule.id)
    found = (await client.list(tag=tag, limit=200)).items
    by_id = {job.id: job for job in found}
    made = [job for job in found if job.schedule_id == schedule.id]
    return Scene([by_id[job.id] for job in scene.jobs], Series(schedule, made))
