from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from horae.cli.demo.command import _judged
from horae.cli.demo.script import Act, acts
from horae.cli.output import console
from horae.client import Job, State
from horae.client.model import read
from tests.cli.processes import ended, on_terminal, start
from tests.client.canned import job
from tests.support.waiting import eventually


@pytest.mark.timeout(90)
async def test_every_job_ends_as_it_should() -> None:
    process = await start("demo", "--exit")
    async with asyncio.timeout(80):
        done = await ended(process)
    assert (done.code, done.err) == (0, "")
    assert f"All {len(acts(''))} jobs ended as they should" in done.out


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.timeout(90)
async def test_it_is_alive_on_a_terminal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with on_terminal("demo", TMPDIR=str(tmp_path)) as terminal:
        await eventually(lambda: "page 2 of 20" in terminal.shown, seconds=60)
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.end() == 0
        for act in acts(""):
            assert act.title in terminal.shown
    assert await asyncio.to_thread(left_in, tmp_path) == []


def test_an_unexpected_end_is_seen() -> None:
    act = Act("fails twice", "fail", attempt=3)
    assert act.as_expected(read(Job, job(state="SUCCESS", attempt=3)))
    assert not act.as_expected(read(Job, job(state="SUCCESS", attempt=2)))
    assert not act.as_expected(read(Job, job(state="FAILED", attempt=3)))
    assert Act("is cancelled", "sleep", ends=State.CANCELLED).as_expected(read(Job, job(state="CANCELLED")))


def test_it_says_which_job_did_not_end_as_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    program = [Act("runs", "echo"), Act("is cancelled", "sleep", ends=State.CANCELLED)]
    ends = [read(Job, job(state="SUCCESS")), read(Job, job(state="RUNNING"))]
    assert _judged(program, ends, 9.5, console()) is False
    assert capsys.readouterr().out == "“is cancelled” should have ended CANCELLED\n"
