"""Measures of whole processes on private MariaDB, RabbitMQ and Redis of their own: what users wait for, what it costs.

    scripts/bench [idle] [drain] [pickup] [fire] [--seconds N] [--jobs N] [--workers 1,2] [--json]

idle    what processes and servers use while there is nothing to do
drain   jobs that do nothing: enqueued in bulk, then run by one worker and by two
pickup  150 jobs, 50 ms apart, on an otherwise idle system: from submission to start
fire    5,000 schedules due in one second: from their fire time to the job, and to its start

Without a name all of them run. Each prints a table and one line of JSON; with --json only the latter.
CPU is in seconds of one core. Anything else that runs on the machine shows in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from horae.client import Client, new_job

SCRIPTS = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
BULK = 10_000
PICKUPS, PICKUP_PAUSE = 150, 0.05
START_SECONDS = 60

Table = list[dict[str, Any]]


# ------------------------------------------------------------------------------------------------- servers, processes


@contextmanager
def private_servers() -> Iterator[dict[str, str]]:
    """The settings that lead to servers which nobody else uses; they are gone afterwards."""
    # Named so that scripts/test ends what a killed run has left.
    home = tempfile.mkdtemp(prefix=f"horae-test.{os.getpid()}.")
    environment = {**os.environ, "HORAE_SERVICES_HOME": home}

    def services(command: str) -> str:
        call = [sys.executable, str(SCRIPTS / "services"), command]
        return subprocess.run(call, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    try:
        services("up")
        settings = dict(line.split("=", 1) for line in services("env").splitlines())
        yield {**settings, "SERVICES_FOLDER": str(Path(settings["HORAE_TEST_RABBITMQ_HOME"]).parent)}
    finally:
        services("down")
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class Usage:
    """Of a process: CPU seconds since its start, and bytes in memory."""

    cpu: float
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return cls((int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE)


class System:
    """The servers and the roles that run on them."""

    def __init__(self, settings: Mapping[str, str], folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._roles: dict[str, asyncio.subprocess.Process] = {}
        self.client = Client("http://127.0.0.1:1")
        self.database = make_url(settings["HORAE_DATABASE_URL"])

    async def serve(self, name: str, role: str) -> None:
        """Starts a role and waits until it is ready."""
        port = _free_port()
        listens = "--port" if role == "api" else "--health-port"
        self._roles[name] = await self._start(name, "serve", "--role", role, listens, str(port))
        await _until(lambda: _ready(port), f"{name} doesn't become ready")
        if role == "api":
            self.client = Client(f"http://127.0.0.1:{port}")

    async def migrate(self) -> None:
        """Gives the database its schema."""
        if await (await self._start("migrate", "migrate")).wait():
            raise SystemExit("bench: `horae migrate` failed")

    async def _start(self, name: str, *command: str) -> asyncio.subprocess.Process:
        with (self._folder / f"{name}.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "horae", *command), env=self._environment(), stdout=log, stderr=log
            )

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HORAE_")}
        return {**inherited, **self._settings, "HORAE_LOG_FORMAT": "json"}

    async def close(self) -> None:
        await self.client.close()
        for process in self._roles.values():
            process.kill()
            await process.wait()

    def usage(self) -> dict[str, Usage]:
        """Of every role and server."""
        servers = Path(self._settings["SERVICES_FOLDER"]).glob("*/process")
        pids = {name: process.pid for name, process in self._roles.items()}
        pids |= {SERVERS[file.parent.name]: int(file.read_text().split()[0]) for file in servers}
        return {name: Usage.of(pid) for name, pid in pids.items()}

    def ask(self, sql: str) -> tuple[Any, ...]:
        """One row from the database."""
        return next(iter(self.ask_all(sql)), ())

    def ask_all(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Every row."""
        at = self.database
        connection = pymysql.connect(
            host=at.host, port=at.port or 3306, user=at.username, password=at.password or "", database=at.database
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


SERVERS = {"db": "MariaDB", "mq": "RabbitMQ", "redis": "Redis"}


@asynccontextmanager
async def system(workers: int = 1, schedulers: int = 1) -> AsyncIterator[System]:
    """An api, schedulers and workers on fresh servers, and one job run: everything is connected."""
    with private_servers() as settings, tempfile.TemporaryDirectory() as folder:
        made = System(settings, Path(folder))
        try:
            await made.migrate()
            await made.serve("api", "api")
            for number in range(1, schedulers + 1):
                await made.serve("scheduler" if number == 1 else f"scheduler {number}", "scheduler")
            for number in range(1, workers + 1):
                await made.serve(f"worker {number}", "worker")
            warm = await made.client.submit("noop")
            await made.client.wait(warm.id, START_SECONDS)
            yield made
        finally:
            await made.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {otherwise} within {START_SECONDS} s")
        await asyncio.sleep(0.1)


# ----------------------------------------------------------------------------------------------------------- measures


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float) -> Table:
    """What each process has used meanwhile."""
    return [
        {
            "process": name,
            "cpu_seconds": round(after[name].cpu - before[name].cpu, 2),
            "core_percent": round(100 * (after[name].cpu - before[name].cpu) / seconds, 2),
            "memory_mb": round(after[name].memory / 1e6, 1),
        }
        for name in after
    ]


async def idle(options: argparse.Namespace) -> dict[str, Any]:
    async with system() as made:
        await asyncio.sleep(5)
        before, began = made.usage(), time.monotonic()
        await asyncio.sleep(options.seconds)
        processes = spent(before, made.usage(), time.monotonic() - began)
    ours = [row["core_percent"] for row in processes if row["process"] in {"scheduler", "worker 1"}]
    return {
        "seconds": options.seconds,
        "scheduler_and_worker_core_percent": round(sum(ours), 2),
        "processes": processes,
    }


async def drain(options: argparse.Namespace) -> dict[str, Any]:
    return {"jobs": options.jobs, "runs": [await _drained(options.jobs, workers) for workers in options.workers]}


async def _drained(count: int, workers: int) -> dict[str, Any]:
    async with system(workers) as made:
        await made.client.pause("default")
        began = time.monotonic()
        for start in range(0, count, BULK):
            await made.client.submit_many([new_job("noop")] * min(BULK, count - start))
        enqueued = time.monotonic() - began
        before, began = made.usage(), time.monotonic()
        await made.client.resume("default")
        await _until(lambda: _all_done(made), "the jobs don't end")
        after, took = made.usage(), time.monotonic() - began
        (seconds,) = made.ask(_RUN_SECONDS)
    return {
        "workers": workers,
        "enqueued_per_second": round(count / enqueued),
        "drained_per_second": round(count / float(seconds)),
        "processes": spent(before, after, took),
    }


_RUN_SECONDS = """
    SELECT TIMESTAMPDIFF(MICROSECOND, MIN(started_at), MAX(finished_at)) / 1e6 FROM jobs
    WHERE created_at > (SELECT MIN(created_at) FROM jobs)
"""


_LEFT = """
    SELECT EXISTS(SELECT 1 FROM jobs WHERE state = 'PENDING') + EXISTS(SELECT 1 FROM jobs WHERE state = 'QUEUED')
    + EXISTS(SELECT 1 FROM jobs WHERE state = 'RUNNING') + EXISTS(SELECT 1 FROM jobs WHERE state = 'RETRYING')
"""


def _all_done(made: System) -> bool:
    # One look into the index a state, so that asking costs next to nothing.
    (left,) = made.ask(_LEFT)
    return not left


async def pickup(_options: argparse.Namespace) -> dict[str, Any]:
    async with system() as made:
        sent: dict[str, datetime] = {}
        for _ in range(PICKUPS):
            now = datetime.now(UTC)
            job = await made.client.submit("noop")
            sent[job.id] = now
            await asyncio.sleep(max(0.0, PICKUP_PAUSE - (datetime.now(UTC) - now).total_seconds()))
        jobs = [await made.client.wait(id_, START_SECONDS) for id_ in sent]
    stored = [_milliseconds(job.created_at, job.started_at) for job in jobs]
    asked = [_milliseconds(sent[job.id], job.started_at) for job in jobs]
    kinds = {"stored to started (database's clock)": stored, "asked to started (client's clock)": asked}
    return {"jobs": PICKUPS, "milliseconds": [{"from": name, **_quantiles(values)} for name, values in kinds.items()]}


async def fire(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "schedules": options.schedules,
        "runs": [await _fired(options.schedules, schedulers) for schedulers in options.schedulers],
    }


async def _fired(count: int, schedulers: int) -> dict[str, Any]:
    async with system(workers=1, schedulers=schedulers) as made:
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=10 + count / 100)
        await _schedule(made.client, count, first)
        left = (first - datetime.now(UTC)).total_seconds()
        if left < 1:
            raise SystemExit("bench: the schedules weren't created in time")
        before = made.usage()
        await asyncio.sleep(left)
        await _until(lambda: made.ask(_FIRED) == (count,) and _all_done(made), "the jobs don't end")
        after, lateness = made.usage(), made.ask_all(_LATENESS)
    kinds = {"to job": [row[0] for row in lateness], "to start": [row[1] for row in lateness]}
    return {
        "schedulers": schedulers,
        "milliseconds_from_fire_time": [
            {"kind": name, **_quantiles([float(value) / 1000 for value in values])} for name, values in kinds.items()
        ],
        "processes": spent(before, after, (datetime.now(UTC) - first).total_seconds()),
    }


async def _schedule(client: Client, count: int, first: datetime) -> None:
    """Daily ones, all due at the same time."""
    turns = asyncio.Semaphore(16)

    async def create(number: int) -> None:
        async with turns:
            await client.create_schedule(f"s{number}", new_job("noop"), interval_seconds=86_400, start_at=first)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(create(number))


_FIRED = "SELECT COUNT(*) FROM jobs WHERE schedule_id IS NOT NULL"

_LATENESS = """
    SELECT TIMESTAMPDIFF(MICROSECOND, fire_time, created_at), TIMESTAMPDIFF(MICROSECOND, fire_time, started_at)
    FROM jobs WHERE schedule_id IS NOT NULL
"""


def _milliseconds(start: datetime, end: datetime | None) -> float:
    assert end is not None  # noqa: S101 - every one has succeeded
    return (end - start).total_seconds() * 1000


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    places = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1) for name, part in places.items()}


# ------------------------------------------------------------------------------------------------------------- output

MEASURES: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]] = {
    "idle": idle,
    "drain": drain,
    "pickup": pickup,
    "fire": fire,
}


def show(name: str, measured: Mapping[str, Any], level: int = 0) -> None:
    """Plain members as lines, lists of objects as tables."""
    indent = "  " * level
    print(f"{indent}{name}")
    for key, value in measured.items():
        if not isinstance(value, list):
            print(f"{indent}  {key.replace('_', ' ')}: {value}")
        elif any(isinstance(member, list) for row in value for member in row.values()):
            for number, row in enumerate(value, 1):
                show(f"{key} {number}", row, level + 1)
        else:
            _show_table(value, indent + "  ")


def _show_table(rows: Table, indent: str) -> None:
    head = [key.replace("_", " ") for key in rows[0]]
    lines = [head, *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        first, *rest = (
            word.ljust(width) if not place else word.rjust(width)
            for place, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        print(indent + "  ".join([first, *rest]))


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--seconds", type=float, default=60, help="that idle lasts (60)")
    parser.add_argument("--jobs", type=int, default=20_000, help="that drain enqueues (20000)")
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="workers of each run of drain (1,2)")
    parser.add_argument("--schedules", type=int, default=5_000, help="that fire makes due in one second (5000)")
    parser.add_argument("--schedulers", type=_numbers, default=[1, 3], help="schedulers of each run of fire (1,3)")
    parser.add_argument("--json", action="store_true", help="print only the lines of JSON")
    options = parser.parse_args(arguments)
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    return options


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    options = options_of(sys.argv[1:])
    for name in options.measures or MEASURES:
        measured = asyncio.run(MEASURES[name](options))
        if not options.json:
            show(name, measured)
        print(json.dumps({"measure": name, **measured}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
