"""The process of one isolated attempt: `python -m horae.worker.child FD HANDLERS HTTP_ALLOW`, the job on its stdin."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from datetime import datetime
from typing import Any

import orjson

from horae.handlers import Discard, JobContext, Registry, Retry
from horae.handlers.context import JobFacts, ThreadJobContext
from horae.handlers.loader import load
from horae.worker.executor import LARGEST_RESULT, TRUNCATED, failure_of, said
from horae.worker.threads import in_thread


class PipeReporter:
    """Tells the worker about progress."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def progress(self, value: float, message: str) -> None:
        """One line."""
        self.say({"progress": [value, message]})

    def say(self, message: dict[str, Any]) -> None:
        """Writes the whole line; a pipe takes less at a time."""
        line = orjson.dumps(message) + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]


async def run(job: dict[str, Any], registry: Registry, reporter: PipeReporter) -> dict[str, Any]:
    """The answer for the worker."""
    try:
        value = await _call(job, registry, reporter)
        too_large = len(orjson.dumps(value)) > LARGEST_RESULT
        return {"result": orjson.loads(TRUNCATED) if too_large else value}
    except BaseException as error:  # noqa: BLE001 - whatever it raised, the worker is told
        return _answer(error)


def _answer(error: BaseException) -> dict[str, Any]:
    match error:
        case Retry():
            return {"retry": {"delay": error.delay, "reason": said(error)}}
        case Discard():
            return {"discard": said(error)}
    return {"error": failure_of(error).as_dict()}


async def _call(job: dict[str, Any], registry: Registry, reporter: PipeReporter) -> Any:
    handler = registry.get(job["handler"])
    if handler is None:
        raise Discard(f"handler {job['handler']!r} isn't among those that the process loads")
    facts = _facts(job)
    arguments = handler.validate(job["payload"])
    if handler.is_async:
        return await handler.function(JobContext(facts, reporter), **arguments)
    context = ThreadJobContext(facts, reporter, asyncio.get_running_loop())
    return await in_thread(lambda: handler.function(context, **arguments), handler.name)


def _facts(job: dict[str, Any]) -> JobFacts:
    fire_time = job["fire_time"]
    return JobFacts(
        job_id=job["id"],
        attempt=job["attempt"],
        token=job["token"],
        handler=job["handler"],
        queue=job["queue"],
        namespace=job["namespace"],
        schedule_id=job["schedule_id"],
        fire_time=None if fire_time is None else datetime.fromisoformat(fire_time),
    )


def main() -> None:
    """Runs the job and answers."""
    descriptor = int(sys.argv[1])
    # What the handler starts must not keep the pipe open: its end is how the worker learns of this process's death.
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no keywords
    reporter = PipeReporter(descriptor)
    handlers, http_allow = ([word for word in words.split(",") if word] for words in sys.argv[2:4])
    registry = load(handlers, http_allow)
    job = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_follow_the_worker, daemon=True).start()
    asyncio.run(_answer_and_end(job, registry, reporter))


async def _answer_and_end(job: dict[str, Any], registry: Registry, reporter: PipeReporter) -> None:
    """Tasks and threads that the handler left behind aren't waited for."""
    reporter.say(await run(job, registry, reporter))
    sys.stdout.flush()
    os._exit(0)


def _follow_the_worker() -> None:
    """When the worker is gone its end of standard input closes: the job belongs to another worker then."""
    # Not by `sys.stdin`, which would still be locked by this thread when the interpreter takes it down.
    while os.read(0, 65536):
        continue
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
