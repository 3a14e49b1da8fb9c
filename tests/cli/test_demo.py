from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from horae.cli.demo.command import _judged
from horae.cli.demo.script import Act, Program, Recurring, Scene, program
from horae.cli.demo.series import Series, plain_line
from horae.cli.output import console
from horae.client import Job, Schedule, State
from horae.client.model import read
from tests.cli.processes import ended, on_terminal, start
from tests.client.canned import job, schedule
from tests.support.waiting import eventually

TICKING = Recurring("ticks", "tick", "echo", {}, 3, 2)


def series(state: str, runs: int, *ends: str) -> Series:
    made = read(Schedule, schedule(state=state, runs=runs, max_runs=2, next_fire_at=None))
    return Series(made, [read(Job, job(id=str(n), state=end)) for n, end in enumerate(ends)])


@pytest.mark.timeout(90)
async def test_every_job_ends_as_it_should() -> None:
    process = await start("demo", "--exit")
    async with asyncio.timeout(80):
        done = await ended(process)
    assert (done.code, done.err) == (0, "")
    played = program("")
    assert f"All {len(played.acts)} jobs and the schedule ended as they should" in done.out
    assert f"fire {played.recurring.runs} of {played.recurring.runs}" in done.out


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.timeout(90)
async def test_it_is_alive_on_a_terminal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with on_terminal("demo", TMPDIR=str(tmp_path)) as terminal:
        await eventually(lambda: " of 20" in terminal.shown, seconds=60)
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.end() == 0
        played = program("")
        for title in (*(act.title for act in played.acts), played.recurring.title):
            assert title in terminal.shown
    assert await asyncio.to_thread(left_in, tmp_path) == []


def test_an_unexpected_end_is_seen() -> None:
    act = Act("fails twice", "fail", attempt=3)
    assert act.as_expected(read(Job, job(state="SUCCESS", attempt=3)))
    assert not act.as_expected(read(Job, job(state="SUCCESS", attempt=2)))
    assert not act.as_expected(read(Job, job(state="FAILED", attempt=3)))
    assert Act("is cancelled", "sleep", ends=State.CANCELLED).as_expected(read(Job, job(state="CANCELLED")))


def test_it_says_which_job_did_not_end_as_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    played = Program([Act("runs", "echo"), Act("is cancelled", "sleep", ends=State.CANCELLED)], TICKING)
    ends = [read(Job, job(state="SUCCESS")), read(Job, job(state="RUNNING"))]
    assert _judged(played, Scene(ends, series("ENDED", 2, "SUCCESS", "FAILED")), 9.5, console()) is False
    assert capsys.readouterr().out.splitlines() == [
        "“is cancelled” should have ended CANCELLED",
        "“ticks” should have ended with 2 jobs that succeeded",
    ]


@pytest.mark.parametrize(
    ("seen", "final", "as_expected"),
    [
        (("ENDED", 2, "SUCCESS", "SUCCESS"), True, True),
        (("ENDED", 2, "SUCCESS", "FAILED"), True, False),
        (("ENDED", 2, "SUCCESS"), True, False),
        (("ENDED", 2, "SUCCESS", "RUNNING"), False, False),
        (("ACTIVE", 2, "SUCCESS", "SUCCESS"), False, False),
    ],
    ids=str,
)
def test_a_schedule_has_to_end_with_all_its_fires(
    seen: tuple[str, int, *tuple[str, ...]], final: bool, as_expected: bool
) -> None:
    found = series(*seen)
    assert (found.is_final, TICKING.as_expected(found)) == (final, as_expected)


def test_a_schedule_has_a_line_of_its_own() -> None:
    said = plain_line(series("ENDED", 2, "SUCCESS", "SUCCESS")).split("Z  ", 1)[1]
    assert said == "ENDED      fire 2 of 2  2 SUCCESS"
