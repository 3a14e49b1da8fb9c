"""What the demo submits, and how each job is to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from horae.client import Backoff, Client, Job, JobFields, State


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


def acts(web_address: str) -> list[Act]:
    """The program, in order; `web_address` is what the HTTP job calls."""
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
