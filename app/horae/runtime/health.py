"""Health and metrics over HTTP: an app of its own for roles without an api; the api mounts the same routes."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import orjson
import structlog
from aiohttp import web

from horae.domain.errors import SettingsError
from horae.runtime.metrics import Metrics

log = structlog.get_logger(__name__)

FIRST_PORT = 8081
PORTS_TRIED = 100

Check = Callable[[], str | None]
"""None when all is well, else the reason why not. It reads what is known already: no I/O."""


class Readiness:
    """Whether a process can serve, and what it lacks."""

    def __init__(self, roles: Collection[str]) -> None:
        self._roles = sorted(roles)
        self._checks: dict[str, Check] = {}
        self._dropped: str | None = None

    def require(self, name: str, check: Check) -> None:
        """From now on the process is ready only while the check answers None."""
        self._checks[name] = check

    def drop(self, reason: str) -> None:
        """Not ready from now on, for good: the first step of a drain."""
        self._dropped = reason

    def missing(self) -> list[str]:
        """Every reason why the process can't serve, empty when it can."""
        reasons = [] if self._dropped is None else [self._dropped]
        return reasons + [f"{name}: {reason}" for name, check in self._checks.items() if (reason := _ask(name, check))]

    def as_dict(self, missing: list[str]) -> dict[str, object]:
        """What `/readyz` tells."""
        return {"ready": not missing, "role": self._roles, "missing": missing}


def _ask(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception:
        log.exception("health.check_failed", check=name)
        return "its check failed"


def health_routes(readiness: Readiness, metrics: Metrics) -> list[web.RouteDef]:
    """`/healthz` (alive), `/readyz` (can serve) and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return _json({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        missing = readiness.missing()
        return _json(readiness.as_dict(missing), status=503 if missing else 200)

    async def show_metrics(request: web.Request) -> web.Response:
        body, content_type = await metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)]


def _json(body: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


@asynccontextmanager
async def health_server(
    readiness: Readiness, metrics: Metrics, host: str, port: int | None
) -> AsyncIterator[int | None]:
    """Serves the routes meanwhile; answers the port, None when it is off.

    `port` None takes 8081 or the next free one, 0 none at all.

    Raises:
        SettingsError: the given port, or each one that was tried, can't be had.
    """
    if port == 0:
        yield None
        return
    app = web.Application()
    app.add_routes(health_routes(readiness, metrics))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        taken = await _bind(runner, host, port)
        log.info("health.listening", host=host, port=taken)
        yield taken
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int | None) -> int:
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]:
        try:
            await web.TCPSite(runner, host, candidate).start()
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                raise _refusal(host, candidate, error) from None
        else:
            return candidate
    last = FIRST_PORT + PORTS_TRIED - 1
    raise SettingsError(f"HORAE_HEALTH_PORT is not set, and no port from {FIRST_PORT} to {last} is free on {host}")


def _refusal(host: str, port: int, error: OSError) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"HORAE_HEALTH_PORT={port} is taken by another process on {host}")
    return SettingsError(f"HORAE_HEALTH_PORT={port} can't be listened on at {host}: {error.strerror or error}")
