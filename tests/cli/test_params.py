from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest

from horae.cli.params import BackoffType, Length, Moment, Payload, where_of
from horae.runtime.clock import SystemClock


def test_a_moment_may_be_a_time() -> None:
    assert Moment(1).convert("2030-01-31T08:00:00Z", None, None) == datetime(2030, 1, 31, 8, tzinfo=UTC)
    east = timezone(timedelta(hours=2))
    assert Moment(1).convert("2030-01-31T08:00:00+02:00", None, None) == datetime(2030, 1, 31, 8, tzinfo=east)
    assert Moment(1).convert("2030-01-31 08:00", None, None).tzinfo is not None


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_moment_may_be_so_far_away(direction: int) -> None:
    found = Moment(direction).convert("1.5h", None, None)
    away = (found - SystemClock().now()).total_seconds()
    assert away == pytest.approx(direction * 5400, abs=5)


@pytest.mark.parametrize("text", ["", "tomorrow", "5", "5w", "-5s", "2030-13-01"])
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is neither a time"):
        Moment(1).convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("0.5", 0.5), ("15m", 900), ("1.5h", 5400), ("1d", 86_400)])
def test_a_length_is_seconds(text: str, seconds: float) -> None:
    found = Length().convert(text, None, None)
    assert found == seconds
    assert isinstance(found, type(seconds))


@pytest.mark.parametrize("text", ["", "soon", "5w", "m", "nan", "inf"])
def test_anything_else_is_no_length(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Length().convert(text, None, None)


def test_a_payload_may_be_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"from": "file"}')
    assert Payload().convert('{"a": [1]}', None, None) == {"a": [1]}
    assert Payload().convert(f"@{file}", None, None) == {"from": "file"}


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "not JSON"), ("[1]", "must be a JSON object"), ("7", "must be a JSON object"), ("@/nowhere", "can't read")],
)
def test_a_payload_must_be_an_object(text: str, why: str) -> None:
    with pytest.raises(click.BadParameter, match=why):
        Payload().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exponential", {"kind": "exponential"}),
        ("fixed:5", {"kind": "fixed", "base_seconds": 5.0}),
        ("linear:0.5:60", {"kind": "linear", "base_seconds": 0.5, "max_seconds": 60.0}),
    ],
)
def test_a_backoff_says_what_it_says(text: str, said: dict[str, Any]) -> None:
    assert BackoffType().convert(text, None, None) == said


@pytest.mark.parametrize("text", ["", "random", "fixed:x", "fixed:1:2:3"])
def test_a_backoff_that_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter):
        BackoffType().convert(text, None, None)


def test_a_filter_is_what_was_given() -> None:
    options = {"state": ("FAILED",), "queue": None, "q": "x", "limit": 5}
    assert where_of(options) == {"state": ("FAILED",), "q": "x"}
    assert options == {"limit": 5}
