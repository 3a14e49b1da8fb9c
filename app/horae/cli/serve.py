"""`horae serve`."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import Any, NoReturn

import click
from rich.text import Text

import horae
from horae.cli.commands import Command, F
from horae.cli.output import console
from horae.cli.settings import read_settings, run
from horae.runtime.config import ROLES, Settings

_FLAGS = (
    click.option("--role", metavar="ROLE[,ROLE]", help=f"Of {', '.join(ROLES)}."),
    click.option("--host", help="Where the api listens."),
    click.option("--port", type=int, help="Where the api listens."),
    click.option("--health-port", type=int, help="Of a role without api; 0 = off."),
    click.option("--handlers", metavar="MODULES", help="Modules or .py files with handlers, separated by commas."),
    click.option("--queues", metavar="QUEUES", help="Queues to serve, separated by commas."),
    click.option("--concurrency", type=int, metavar="N", help="Jobs to run at once."),
    click.option("--lease-seconds", type=float, metavar="S", help="After this silence a worker counts as dead."),
    click.option("--dispatch-lease-seconds", type=float, metavar="S", help="For a delivery to be taken up."),
    click.option("--drain-seconds", type=float, metavar="S", help="For running jobs to end after SIGTERM."),
    click.option("--retention-success", metavar="TIME", help="7d, 12h, never: how long SUCCESS is kept."),
    click.option("--retention-failed", metavar="TIME", help="How long FAILED is kept."),
    click.option("--retry-window", type=int, metavar="N", help="Retries that may travel by the broker at once."),
    click.option("--blocked-seconds", type=float, metavar="S", help="A blocked event loop may hold up this long."),
    click.option("--http-allow", metavar="HOSTS", help="Hosts, CIDRs and ports that http jobs may also reach."),
    click.option("--log-format", type=click.Choice(["console", "json"]), help="Default: console on a terminal."),
    click.option("--log-level", help="debug, info, warning or error."),
)


def _settings_flags(command: F) -> F:
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


@click.command(
    cls=Command,
    examples=[
        "horae serve",
        "horae serve --handlers app/jobs.py --concurrency 20",
        "HORAE_DATABASE_URL=mysql://… HORAE_BROKER_URL=amqp://… horae serve --role scheduler,worker",
    ],
)
@_settings_flags
def serve(**flags: Any) -> None:
    """Run the api, a scheduler, a worker, or all of them in one process.

    Each flag stands for the setting HORAE_… of its name and wins over it. What may hold a secret is set by the
    environment only: HORAE_DATABASE_URL, HORAE_BROKER_URL, HORAE_REDIS_URL.

    SIGTERM or Ctrl-C drains: running jobs may end within --drain-seconds, the others are given back; a second one
    gives back at once.
    """
    settings = read_settings(flags)
    run(_serve(settings))


async def _serve(settings: Settings) -> NoReturn:
    # Every role and backend takes its time to import: help and a wrong setting shouldn't wait for them.
    from horae.bootstrap import serve as serve_until_stopped  # noqa: PLC0415

    _leave(await serve_until_stopped(settings, partial(_greet, settings)))


def _leave(code: int) -> NoReturn:
    """Ends the process. All is given back and closed: what a handler left behind, a task or a thread, isn't waited for.

    The end of the event loop would wait for both.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _greet(settings: Settings, url: str | None) -> None:
    """Tells a human at the terminal, on stderr where the log is too, what runs here."""
    out = console(stderr=True)
    if not out.is_terminal:
        return
    for title, value in banner(settings, url):
        out.print(Text.assemble((f"  {title:<10}", "bold"), value), soft_wrap=True)


def banner(settings: Settings, url: str | None) -> list[tuple[str, str]]:
    """What runs, where the api is, and on which kind of database; never a credential."""
    return [
        ("Horae", f"{horae.__version__}: {', '.join(role for role in ROLES if role in settings.roles)}"),
        *([("API", f"{url}/api/v1"), ("Docs", f"{url}/docs")] if url else []),
        ("Database", _database(settings)),
        *([("Handlers", ", ".join(settings.handlers))] if settings.handlers else []),
        ("Stop", "Ctrl-C"),
    ]


def _database(settings: Settings) -> str:
    if settings.embedded:
        return f"SQLite, {settings.database_url.get_secret_value().removeprefix('sqlite:///')}"
    return "MySQL, with RabbitMQ"
