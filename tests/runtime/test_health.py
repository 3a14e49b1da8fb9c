from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest

from horae.domain.errors import SettingsError
from horae.runtime.health import FIRST_PORT, PORTS_TRIED, Readiness, health_server
from horae.runtime.metrics import Metrics

HOST = "127.0.0.1"


@pytest.fixture
def readiness() -> Readiness:
    return Readiness({"worker", "scheduler"})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http: aiohttp.ClientSession, port: int | None, path: str) -> tuple[int, Any]:
    async with http.get(f"http://{HOST}:{port}{path}") as response:
        return response.status, await response.json()


def listening(port: int = 0) -> socket.socket:
    """A port that somebody else has."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((HOST, port))
    taken.listen()
    return taken


# --------------------------------------------------------------------------------------------------------- readiness


def test_nothing_required_is_ready(readiness: Readiness) -> None:
    assert readiness.missing() == []


def test_a_check_is_asked_anew_each_time(readiness: Readiness) -> None:
    reasons: list[str | None] = ["no answer"]
    readiness.require("database", lambda: reasons[0])
    assert readiness.missing() == ["database: no answer"]
    reasons[0] = None
    assert readiness.missing() == []


def test_every_reason_is_told_in_the_order_of_requiring(readiness: Readiness) -> None:
    readiness.require("schema", lambda: "run `horae migrate`")
    readiness.require("fine", lambda: None)
    readiness.require("broker", lambda: "not connected")
    assert readiness.missing() == ["schema: run `horae migrate`", "broker: not connected"]


def test_dropped_stays_dropped(readiness: Readiness) -> None:
    readiness.drop("draining")
    readiness.require("database", lambda: None)
    assert readiness.missing() == ["draining"]


def test_a_check_that_raises_is_a_reason(readiness: Readiness) -> None:
    def broken() -> str | None:
        raise KeyError("secret")

    readiness.require("broker", broken)
    assert readiness.missing() == ["broker: its check failed"]


# ------------------------------------------------------------------------------------------------------------ server


async def test_the_three_routes(http: aiohttp.ClientSession, readiness: Readiness) -> None:
    metrics = Metrics()
    metrics.stale_writes(3)
    async with health_server(readiness, metrics, HOST, None) as port:
        assert await get(http, port, "/healthz") == (200, {"alive": True})
        whole = {"ready": True, "role": ["scheduler", "worker"], "missing": []}
        assert await get(http, port, "/readyz") == (200, whole)
        readiness.drop("draining")
        assert await get(http, port, "/readyz") == (503, {**whole, "ready": False, "missing": ["draining"]})
        assert (await get(http, port, "/healthz"))[0] == 200
        async with http.get(f"http://{HOST}:{port}/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "horae_stale_writes_total 3.0" in await response.text()


async def test_metrics_negotiate_openmetrics(http: aiohttp.ClientSession, readiness: Readiness) -> None:
    async with health_server(readiness, Metrics(), HOST, None) as port:
        accept = {"Accept": "application/openmetrics-text"}
        async with http.get(f"http://{HOST}:{port}/metrics", headers=accept) as response:
            assert response.content_type == "application/openmetrics-text"


async def test_zero_is_off(readiness: Readiness) -> None:
    async with health_server(readiness, Metrics(), HOST, 0) as port:
        assert port is None


async def test_a_given_port_is_taken_as_it_is(http: aiohttp.ClientSession, readiness: Readiness) -> None:
    with listening() as free:
        given = free.getsockname()[1]
    async with health_server(readiness, Metrics(), HOST, given) as port:
        assert port == given
        assert (await get(http, port, "/healthz"))[0] == 200


async def test_a_given_port_that_is_taken_stops_the_start_in_one_line(readiness: Readiness) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"^HORAE_HEALTH_PORT={port} is taken by another process on {HOST}$"):
            async with health_server(readiness, Metrics(), HOST, port):
                pass


async def test_a_host_that_is_not_ours_stops_the_start_in_one_line(readiness: Readiness) -> None:
    for port in (None, 18_099):
        with pytest.raises(SettingsError, match=r"^HORAE_HEALTH_PORT=\d+ can't be listened on at 192\.0\.2\.1: .*$"):
            async with health_server(readiness, Metrics(), "192.0.2.1", port):
                pass


async def test_unset_takes_the_next_free_one(http: aiohttp.ClientSession, readiness: Readiness) -> None:
    async with (
        health_server(readiness, Metrics(), HOST, None) as one,
        health_server(readiness, Metrics(), HOST, None) as other,
    ):
        assert one is not None
        assert other is not None
        assert FIRST_PORT <= one < other < FIRST_PORT + PORTS_TRIED
        assert (await get(http, one, "/healthz"))[0] == 200
        assert (await get(http, other, "/healthz"))[0] == 200


async def test_when_no_port_is_free_the_start_stops_in_one_line(
    readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        taken = stack.enter_context(listening())
        monkeypatch.setattr("horae.runtime.health.FIRST_PORT", taken.getsockname()[1])
        monkeypatch.setattr("horae.runtime.health.PORTS_TRIED", 1)
        with pytest.raises(SettingsError, match=r"^HORAE_HEALTH_PORT is not set, and no port from \d+ to \d+ is free"):
            async with health_server(readiness, Metrics(), HOST, None):
                pass


async def test_the_port_is_free_again_afterwards(readiness: Readiness) -> None:
    async with health_server(readiness, Metrics(), HOST, None) as port:
        assert port
    with listening(port):
        pass
