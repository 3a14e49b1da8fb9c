"""From a command to the api and back: errors become one message and an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import IO, Any, TypeVar

import click

from horae.cli.exits import NO_CONNECTION, REFUSED, Interrupted
from horae.cli.text import clean
from horae.client import BadAnswer, Client, ConnectionFailed, Problem, ProblemError, Retries

T = TypeVar("T")

_SOON = Retries(attempts=3)
"""who types a command wants to know soon that nobody answers"""


class RefusedByApi(click.ClickException):
    """The api refused: one line, then one for each wrong field."""

    exit_code = REFUSED

    def __init__(self, problem: Problem) -> None:
        super().__init__(describe(problem))

    def show(self, file: IO[Any] | None = None) -> None:
        """To stderr, unless said otherwise."""
        click.echo(self.format_message(), file=file, err=file is None)


class NotConnected(click.ClickException):
    """There is no api to speak to."""

    exit_code = NO_CONNECTION


def describe(problem: Problem) -> str:
    """A problem in lines for people."""
    first, *fields = problem.lines()
    request = [f"  request {problem.request_id}"] if problem.request_id and problem.status >= 500 else []
    return clean("\n".join([f"{first} ({problem.status})", *(f"  {field}" for field in fields), *request]))


def call(work: Callable[[Client], Awaitable[T]], *, interrupted: str = "") -> T:
    """Runs it with a client. `interrupted`: what to say after Ctrl-C.

    Raises:
        click.ClickException: with the exit code for what went wrong.
    """
    try:
        return asyncio.run(_with_client(work))
    except KeyboardInterrupt:
        raise Interrupted(interrupted) from None
    except ProblemError as error:
        raise RefusedByApi(error.problem) from error
    except (ConnectionFailed, BadAnswer) as error:
        raise NotConnected(clean(str(error))) from error


async def _with_client(work: Callable[[Client], Awaitable[T]]) -> T:
    try:
        client = Client(retries=_SOON)
    except ValueError as error:
        raise click.UsageError(f"HORAE_URL: {error}") from error
    async with client:
        return await work(client)
