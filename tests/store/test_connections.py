"""Addresses of databases, and what a single connection to MySQL must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from structlog.testing import CapturingLogger

from horae.domain.errors import SettingsError, StoreUnavailable
from horae.domain.ids import WorkerId
from horae.runtime.clock import SystemClock
from horae.store import connections
from horae.store.heartbeat import heartbeat
from horae.store.sql import Stores, open_stores
from tests.support.clock import ManualClock
from tests.support.databases import checked_out
from tests.support.factories import LEASE, new_worker
from tests.support.waiting import eventually

# --------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "mysql://",
        "mysql://db/horae",
        "mysql://u:hunter2@db",
        "mysql://u:hunter2@/horae",
        "mysql://u:hunter2@db:port/horae",
        "mysql://u:hunter2@db/horae?ssl=yes",
        "mysql://u:hunter2@db/horae?ssl_ca=/no/such/file",
        "mysql://u:hunter2@db/horae?ssl_ca=a&ssl_ca=b",
        "mysql://u:hunter2@db/horae?sll=true",
    ],
)
def test_a_wrong_address_is_refused_at_once_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_stores(url, SystemClock())
    assert "HORAE_DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("nothing")
    with pytest.raises(SettingsError, match="ssl_ca"):
        open_stores(f"mysql://u:p@db/horae?ssl_ca={authorities}", SystemClock())


@pytest.mark.parametrize(
    "url", ["mysql://u@db/horae", "mysql://u:p%40ss@db:3307/horae?ssl=false", "mysql://u:p@db/horae?ssl=true"]
)
async def test_a_right_address_is_taken_without_connecting(url: str) -> None:
    await open_stores(url, SystemClock()).close()


def test_signs_in_a_password_are_decoded() -> None:
    assert connections.place(make_url("mysql://u%3A:p%40s%2Fs@db/horae"))["password"] == "p@s/s"


# ------------------------------------------------------------------------------------------------ an unhelpful server


class Stranger:
    """A server of which one never knows."""

    def __init__(self) -> None:
        self.url = ""
        self.heard = b""
        self.open = 0

    @classmethod
    @asynccontextmanager
    async def saying(cls, greeting: bytes) -> AsyncIterator[Stranger]:
        """One that greets whoever comes, listens, and says no more."""
        stranger = cls()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stranger.open += 1
            writer.write(greeting)
            while data := await reader.read(1000):
                stranger.heard += data
            stranger.open -= 1
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        stranger.url = f"mysql://u:hunter2@127.0.0.1:{server.sockets[0].getsockname()[1]}/horae"
        async with server:
            yield stranger


CAPABILITIES_WITHOUT_TLS = 0xF7FE & ~0x0800
GREETING = (
    b"\x0a8.0.19\x00\x01\x00\x00\x00saltsalt\x00"
    + CAPABILITIES_WITHOUT_TLS.to_bytes(2, "little")
    + b"\x2d\x02\x00\xff\x81\x15"
    + bytes(10)
    + b"saltsaltsalt\x00caching_sha2_password\x00"
)


async def test_a_password_is_not_sent_where_tls_was_asked_for_and_is_not_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr("horae.store.heartbeat.log", log)
    async with Stranger.saying(len(GREETING).to_bytes(3, "little") + b"\x00" + GREETING) as stranger:
        stores = open_stores(f"{stranger.url}?ssl=true", SystemClock())
        with pytest.raises(StoreUnavailable, match="TLS"):
            await stores.schema.version()
        assert stranger.heard == b""
        await asyncio.to_thread(heartbeat(f"{stranger.url}?ssl=true", LEASE, lambda: WorkerId("0" * 32)))
        assert stranger.heard == b""
        assert "TLS was asked for" in str(log.calls)
        await stores.close()


CALLS: list[Callable[[Stores], object]] = [
    lambda stores: stores.schema.version(),
    lambda stores: stores.jobs.counts("default"),
    lambda stores: stores.queues.pause("default", "mail", "ann"),
]


@pytest.mark.parametrize("call", CALLS, ids=["schema", "read", "write"])
async def test_a_server_that_never_greets_is_given_up(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[Stores], asyncio.Future[object]]
) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.1)
    async with Stranger.saying(b"") as stranger:
        stores = open_stores(stranger.url, SystemClock())
        with pytest.raises(StoreUnavailable):
            await call(stores)
        await eventually(lambda: stranger.open == 0)
        assert checked_out(stores) == 0
        await stores.close()


async def test_a_connecting_that_is_cancelled_leaves_nothing_open() -> None:
    async with Stranger.saying(b"") as stranger:
        stores = open_stores(stranger.url, SystemClock())
        task = asyncio.create_task(stores.queues.pause("default", "mail", "ann"))
        await eventually(lambda: stranger.open == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: stranger.open == 0)
        assert checked_out(stores) == 0
        await stores.close()


# ------------------------------------------------------------------------------------------------------------ session


@pytest.mark.service
async def test_every_connection_has_its_session_set_up(mysql_stores: Stores) -> None:
    wanted = "SELECT @@tx_isolation, @@time_zone, @@innodb_lock_wait_timeout, @@autocommit, @@character_set_client"
    async with mysql_stores.database.engine.connect() as one, mysql_stores.database.engine.connect() as other:
        for connection in (one, other):
            found = (await connection.exec_driver_sql(wanted)).one()
            assert tuple(found) == ("READ-COMMITTED", "+00:00", 5, 1, "utf8mb4")


@pytest.mark.service
async def test_in_production_time_comes_from_the_server(migrated_mysql: str) -> None:
    """Whatever the clock of the process says."""
    wrong = ManualClock()
    stores = open_stores(migrated_mysql, wrong)
    worker = new_worker(wrong)
    await stores.registry.register(worker, LEASE)
    async with stores.database.engine.connect() as connection:
        now = (await connection.execute(sa.text("SELECT UTC_TIMESTAMP(6)"))).scalar_one()
    (info,) = [info for info in await stores.registry.workers() if info.id == worker.id]
    assert abs(info.started_at.replace(tzinfo=None) - now) < timedelta(seconds=5)
    assert info.expires_at - info.started_at == timedelta(seconds=LEASE)
    assert await stores.registry.renew(worker.id, LEASE, {}, draining=False)
    await stores.registry.retire(worker.id)
    await stores.close()


@pytest.mark.service
@pytest.mark.parametrize("wrong", [{"password": "hunter2"}, {"username": "nobody"}, {"database": "no_such_database"}])
async def test_a_server_that_lets_us_not_in_says_why(mysql_server: str, wrong: dict[str, str]) -> None:
    url = make_url(mysql_server).set(**wrong)  # type: ignore[arg-type]
    stores = open_stores(url.render_as_string(hide_password=False), SystemClock())
    with pytest.raises(StoreUnavailable, match=r"denied|Unknown database") as caught:
        await stores.jobs.counts("default")
    assert "hunter2" not in str(caught.value)
    await stores.close()


# ---------------------------------------------------------------------------------------------------------- heartbeat


@pytest.mark.service
async def test_a_heartbeat_prolongs_a_live_lease_and_no_other(migrated_mysql: str) -> None:
    stores = open_stores(migrated_mysql, SystemClock())
    live, dead = new_worker(SystemClock()), new_worker(SystemClock())
    for worker in (live, dead):
        await stores.registry.register(worker, LEASE)
    await stores.registry.retire(dead.id)
    before = {info.id: info.expires_at for info in await stores.registry.workers()}
    for worker in (live, dead):
        heartbeat(migrated_mysql, 1000.0, lambda id_=worker.id: id_)()  # type: ignore[misc]
    after = {info.id: info.expires_at for info in await stores.registry.workers()}
    assert after[live.id] - before[live.id] > timedelta(seconds=900)
    assert after[dead.id] == before[dead.id]
    await stores.registry.retire(live.id)
    await stores.close()


def test_a_heartbeat_that_finds_no_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    log = CapturingLogger()
    monkeypatch.setattr("horae.store.heartbeat.log", log)
    heartbeat("mysql://u:hunter2@127.0.0.1:1/horae", LEASE, lambda: WorkerId("0" * 32))()
    assert [call.method_name for call in log.calls] == ["warning"]
    assert "hunter2" not in str(log.calls)
