"""An installation of Horae for a test: servers, a database of its own, roles as processes, and means to see what is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from horae.client import Client, State, new_job
from horae.domain.job import Outcome
from horae.store.tables import attempts, jobs
from tests.e2e.support.roles import Role, free_port
from tests.support.waiting import eventually

HANDLERS = Path(__file__).parent / "handlers.py"
NOWHERE = "http://127.0.0.1:1"


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
    """Roles over one database. `client` speaks to the api that was started last."""

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        self.addresses = addresses
        self.roles: list[Role] = []
        self.client = Client(NOWHERE)
        self._folder = folder
        self._run_log = folder / "runs"
        self._engine = sa.create_engine(_plain_driver(addresses.database), poolclass=sa.NullPool)

    @classmethod
    @asynccontextmanager
    async def at(cls, folder: Path, addresses: Addresses) -> AsyncIterator[Installation]:
        """One whose processes are gone at the end."""
        made = cls(folder, addresses)
        try:
            yield made
        finally:
            await made.client.close()
            await made.end(made.roles)

    # --------------------------------------------------------------------------------------------------------- roles

    async def serve(self, role: str, addresses: Addresses | None = None, **flags: object) -> Role:
        """A role that is ready."""
        (made,) = await self.serve_all(role, addresses=addresses, **flags)
        return made

    async def serve_all(self, *roles: str, addresses: Addresses | None = None, **flags: object) -> list[Role]:
        """Several, started at the same time."""
        made = [await self.launch(role, addresses, **flags) for role in roles]
        for role in made:
            await role.ready()
        return made

    async def launch(self, role: str, addresses: Addresses | None = None, **flags: object) -> Role:
        """A role that has just been started."""
        port, listens = free_port(), "port" if role.startswith(("api", "all")) else "health-port"
        given = {"--role": role, f"--{listens}": port, "--handlers": HANDLERS}
        given |= {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
        log = self._folder / f"{len(self.roles)}-{role}.log"
        arguments = [str(word) for flag in given.items() for word in flag]
        made = Role(log, port, arguments, self._environment(addresses or self.addresses))
        self.roles.append(made)
        await made.start()
        if listens == "port":
            await self.client.close()
            self.client = Client(f"http://127.0.0.1:{port}")
        return made

    def _environment(self, addresses: Addresses) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HORAE_")}
        return {**inherited, **addresses.variables(), "RUN_LOG": str(self._run_log)}

    async def end(self, roles: Collection[Role]) -> None:
        """Ends these, whatever state they are in; their logs are shown if the test has failed."""
        for role in roles:
            await role.clean_up()
            print(f"--- {role.log.name}\n{role.log.read_text()[-6000:]}")  # noqa: T201 - for pytest's report

    # ---------------------------------------------------------------------------------------------------------- jobs

    async def submit(
        self, count: int, handler: str, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> list[str]:
        """So many equal jobs by one request; their ids."""
        return list(await self.client.submit_many([new_job(handler, payload, **fields)] * count))

    async def become(self, wanted: Mapping[State, int], seconds: float, **where: Any) -> None:
        """Returns when there are so many jobs in these states and none in others; `where` are columns."""
        try:
            await eventually(lambda: self.states(**where) == wanted, seconds)
        except TimeoutError:
            raise AssertionError(f"after {seconds} s: {self.states(**where)}") from None

    # --------------------------------------------------------------------------------------------------------- truth

    def states(self, **where: Any) -> dict[State, int]:
        """How many jobs the database holds in each state, read past the product."""
        statement = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        return {State(state): count for state, count in self.rows(_narrowed(statement, where))}

    def column(self, name: str, **where: Any) -> list[Any]:
        """One column of the jobs."""
        return [value for (value,) in self.rows(_narrowed(sa.select(jobs.c[name]), where))]

    def outcomes(self, **where: Any) -> Counter[Outcome]:
        """Of every attempt that has a row of its own: all but those that ended their job."""
        joined = sa.select(attempts.c.outcome).join(jobs, jobs.c.id == attempts.c.job_id)
        return Counter(Outcome(outcome) for (outcome,) in self.rows(_narrowed(joined, where)))

    def rows(self, statement: sa.Select[Any]) -> list[Any]:
        """Whatever the database holds, read past the product."""
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def connection(self) -> sa.Connection:
        """For what a test writes past the product."""
        return self._engine.connect()

    def runs(self, ids: Collection[str], word: str = "start") -> Counter[str]:
        """How often the handlers of these jobs were started (or came to their end), as the handlers tell."""
        lines = self._run_log.read_text().splitlines() if self._run_log.exists() else []
        told = (line.split() for line in lines)
        return Counter(job for event, job, *_ in told if event == word and job in ids)


def once(ids: Collection[str]) -> Counter[str]:
    """Each of them just once."""
    return Counter(ids)


def _narrowed(statement: sa.Select[Any], where: Mapping[str, Any]) -> sa.Select[Any]:
    return statement.where(*(jobs.c[name] == value for name, value in where.items()))


def _plain_driver(url: str) -> sa.URL:
    address = make_url(url)
    return address.set(drivername="mysql+pymysql") if address.get_backend_name() == "mysql" else address
