"""An installation of Horae for a test: servers, a database of its own, roles as processes, and means to see the truth."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from horae.client import Client, Job, State, new_job
from horae.domain.job import FINAL, Outcome
from horae.store.tables import attempts, jobs
from tests.e2e.support.roles import Role, free_port
from tests.support.waiting import eventually

HANDLERS = Path(__file__).parent / "handlers.py"


@dataclass(frozen=True)
class Addresses:
    """Of the servers that an installation uses."""

    database: str
    broker: str = "memory://"
    redis: str = ""

    def variables(self) -> dict[str, str]:
        return {
            "HORAE_DATABASE_URL": self.database,
            "HORAE_BROKER_URL": self.broker,
            "HORAE_REDIS_URL": self.redis,
        }


class Installation:
    """Roles over one database. `flags` are those of every role that is started."""

    def __init__(self, folder: Path, addresses: Addresses, flags: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self.addresses = addresses
        self.flags = dict(flags or {})
        self.run_log = folder / "runs"
        self.roles: list[Role] = []
        self._engine = sa.create_engine(_plain_driver(addresses.database), poolclass=sa.NullPool)
        self.client: Client = Client("http://127.0.0.1:1")

    @classmethod
    @asynccontextmanager
    async def at(
        cls, folder: Path, addresses: Addresses, flags: Mapping[str, object] | None = None
    ) -> AsyncIterator[Installation]:
        """One whose processes are gone at the end; their logs are shown if the test has failed."""
        made = cls(folder, addresses, flags)
        try:
            yield made
        finally:
            await made.client.close()
            for role in made.roles:
                await role.clean_up()
            made.show_logs()

    # --------------------------------------------------------------------------------------------------------- roles

    async def serve(self, role: str, addresses: Addresses | None = None, **flags: object) -> Role:
        """A role that is ready; `flags` win over those of the installation."""
        made = await self.launch(role, addresses, **flags)
        await made.ready()
        return made

    async def launch(self, role: str, addresses: Addresses | None = None, **flags: object) -> Role:
        """A role that has just been started."""
        port = free_port()
        listens = "port" if role in ("api", "all") else "health_port"
        given = {"role": role, listens: port, "handlers": HANDLERS, **self.flags, **flags}
        made = Role(self._log_of(role), port, _arguments(given), self._environment(addresses or self.addresses))
        self.roles.append(made)
        await made.start()
        if listens == "port":
            await self.client.close()
            self.client = Client(f"http://127.0.0.1:{port}")
        return made

    def _log_of(self, role: str) -> Path:
        return self.folder / f"{len(self.roles)}-{role}.log"

    def _environment(self, addresses: Addresses) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HORAE_")}
        return {**inherited, **addresses.variables(), "RUN_LOG": str(self.run_log)}

    def show_logs(self) -> None:
        """For the report of a failed test."""
        for role in self.roles:
            print(f"--- {role.log.name}\n{role.log.read_text()[-6000:]}")  # noqa: T201

    # ---------------------------------------------------------------------------------------------------------- jobs

    async def submit(self, count: int, handler: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> list[str]:
        """So many equal jobs by one request; their ids."""
        body = new_job(handler, payload, **fields)
        return list(await self.client.submit_many([body] * count))

    async def all_are(self, state: State, count: int, seconds: float, **where: Any) -> None:
        """Returns when so many jobs are in that state, and no others are there at all."""
        try:
            await eventually(lambda: self.states(**where) == {state: count}, seconds)
        except TimeoutError:
            raise AssertionError(f"after {seconds} s: {self.states(**where)}") from None

    # --------------------------------------------------------------------------------------------------------- truth

    def states(self, **where: Any) -> dict[State, int]:
        """How many jobs the database holds in each state, read past the product; `where` are columns."""
        statement = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        return {State(state): count for state, count in self._rows(_narrowed(statement, where))}

    def column(self, name: str, **where: Any) -> list[Any]:
        """One column of the jobs."""
        return [value for (value,) in self._rows(_narrowed(sa.select(jobs.c[name]), where))]

    def outcomes(self) -> Counter[Outcome]:
        """Of every ended attempt that is on record beside its job: all but those that ended it well."""
        return Counter(Outcome(outcome) for (outcome,) in self._rows(sa.select(attempts.c.outcome)))

    def _rows(self, statement: sa.Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def runs(self, word: str = "start") -> Counter[str]:
        """How often the handlers were started (or came to their end), by job."""
        lines = self.run_log.read_text().splitlines() if self.run_log.exists() else []
        return Counter(line.split()[1] for line in lines if line.split()[0] == word)

    def each_ran_once(self, ids: Iterable[str]) -> bool:
        """Whether each of the jobs was started just once, and nothing else."""
        return self.runs() == Counter(dict.fromkeys(ids, 1))


def _narrowed(statement: sa.Select[Any], where: Mapping[str, Any]) -> sa.Select[Any]:
    return statement.where(*(jobs.c[name] == value for name, value in where.items()))


def _plain_driver(url: str) -> sa.URL:
    address = make_url(url)
    return address.set(drivername="mysql+pymysql") if address.get_backend_name() == "mysql" else address


def _arguments(flags: Mapping[str, object]) -> list[str]:
    return [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def seconds_late(job: Job) -> float:
    """From when it was due to its start."""
    assert job.started_at
    return (job.started_at - job.run_at).total_seconds()


def is_final(state: State) -> bool:
    """Whether it stays."""
    return state in FINAL


Condition = Callable[[], bool]
