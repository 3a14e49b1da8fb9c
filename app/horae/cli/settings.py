"""For the commands that work on the servers themselves: their settings, and what their errors come to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import click

from horae.cli.exits import NO_CONNECTION, WRONG_SETTING, Interrupted
from horae.cli.text import line
from horae.domain.errors import HoraeError, SettingsError, Unavailable
from horae.runtime.config import Settings, load_settings
from horae.runtime.logs import configure_logs

T = TypeVar("T")


class BadSetting(click.ClickException):
    """A setting is wrong: one line that names it."""

    exit_code = WRONG_SETTING


class NoServer(click.ClickException):
    """A server that is needed doesn't answer."""

    exit_code = NO_CONNECTION


def read_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """The environment, with the flags that were given over it; sets up logging too.

    Raises:
        BadSetting: one is wrong.
    """
    try:
        settings = load_settings(**(flags or {}))
    except SettingsError as error:
        raise BadSetting(line(str(error))) from error
    configure_logs(settings.log_format, settings.log_level)
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it in an event loop of its own.

    Raises:
        click.ClickException: with the exit code for what went wrong.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted("") from None
    except SettingsError as error:
        raise BadSetting(line(str(error))) from error
    except Unavailable as error:
        raise NoServer(line(str(error))) from error
    except HoraeError as error:
        raise click.ClickException(line(str(error))) from error
