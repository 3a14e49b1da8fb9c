"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import math
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click
import orjson

from horae.cli.commands import F
from horae.client import JobFilter, State
from horae.runtime.clock import SystemClock

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601 (without a zone: local time), or a length such as `90s`, `15m`, `2h`, `7d` from now.

    `direction` -1 counts a length into the past, 1 into the future. A time without an offset is this machine's, or with
    `zoned` refused: beside a zone that is named nobody could tell whose it is.
    """

    name = "time"

    def __init__(self, direction: int, *, zoned: bool = False) -> None:
        self.direction = direction
        self.zoned = zoned

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, aware."""
        if isinstance(value, datetime):
            return value
        if match := _LENGTH.fullmatch(value):
            away = timedelta(seconds=float(match[1]) * _UNITS[match[2]])
            return SystemClock().now() + self.direction * away
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time such as 2030-01-31T08:00:00Z nor a length such as 15m", param, ctx)
        if self.zoned and moment.tzinfo is None:
            self.fail(f"{value!r} lacks its offset from UTC: 2030-01-31T08:00:00Z or …T08:00:00+01:00", param, ctx)
        return moment.astimezone()


class Length(click.ParamType[float]):
    """A length of time: seconds, or as `15m`, `2h`, `1d`."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, as an int where they are whole."""
        match = _LENGTH.fullmatch(value) if isinstance(value, str) else None
        try:
            seconds = float(match[1]) * _UNITS[match[2]] if match else float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of seconds nor a length such as 15m", param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no length of time", param, ctx)
        return int(seconds) if seconds.is_integer() else seconds


class Payload(click.ParamType[dict[str, Any]]):
    """A JSON object: as text, `@FILE`, or `-` for stdin."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object."""
        if isinstance(value, dict):
            return value
        try:
            content = orjson.loads(_source(value))
        except OSError as error:
            self.fail(f"can't read {value[1:]}: {error.strerror}", param, ctx)
        except orjson.JSONDecodeError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(content, dict):
            self.fail('must be a JSON object, such as \'{"to": "me"}\'', param, ctx)
        return content


def _source(value: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read()
    return Path(value[1:]).read_bytes() if value.startswith("@") else value.encode()


class BackoffType(click.ParamType[dict[str, Any]]):
    """`KIND[:SECONDS[:MAX]]` with KIND exponential, linear or fixed."""

    name = "backoff"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The members that were said; the rest is left to the handler's defaults or the api's."""
        if isinstance(value, dict):
            return value
        kind, *numbers = value.split(":")
        if kind not in ("exponential", "linear", "fixed") or len(numbers) > 2:
            self.fail("must be exponential, linear or fixed, and may go on :SECONDS or :SECONDS:MAX", param, ctx)
        try:
            seconds = [float(number) for number in numbers]
        except ValueError:
            self.fail(f"{value!r}: seconds must be numbers", param, ctx)
        return {"kind": kind, **dict(zip(("base_seconds", "max_seconds"), seconds, strict=False))}


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def filter_options(command: F) -> F:
    """`--state`, `--queue` and the others by which jobs are found; `where_of` makes a filter of them."""
    options = [
        click.option("--state", multiple=True, type=click.Choice([*State], case_sensitive=False), help="Repeatable."),
        click.option("--queue", help="In this queue."),
        click.option("--handler", help="With this handler."),
        click.option("--tag", help="With this tag."),
        click.option("--created-after", type=Moment(-1), metavar="TIME", help="ISO 8601, or so long ago: 15m, 2h, 7d."),
        click.option("--created-before", type=Moment(-1), metavar="TIME", help="The same."),
        click.option("--search", "q", help="A job id, the start of a handler, a tag, or words of the error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def where_of(options: dict[str, Any]) -> JobFilter:
    """What `filter_options` were given; takes them out of `options`."""
    said = {name: options.pop(name) for name in list(options) if name in JobFilter.__optional_keys__}
    return cast("JobFilter", {name: value for name, value in said.items() if value not in (None, ())})
