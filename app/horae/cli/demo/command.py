"""The command behind `scripts/demo`."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from horae.cli.commands import Command
from horae.cli.demo import handlers
from horae.cli.demo.board import Board
from horae.cli.demo.script import Program, Scene, again, create, program, submit
from horae.cli.demo.series import Series
from horae.cli.demo.server import DemoFailed, Server, serving, web_address
from horae.cli.output import console
from horae.client import Client, ClientError
from horae.client.calls import DEFAULT_URL
from horae.runtime.clock import Clock, SystemClock

_TAG = "demo"
_LOOK_SECONDS = 0.25
_LONGEST = 90.0


@click.command(cls=Command, examples=["scripts/demo", "scripts/demo --exit"])
@click.option("--exit", "leave", is_flag=True, help="Stop after the last job: 0, or 1 if one ended unexpectedly.")
def demo(leave: bool) -> None:
    """Start Horae in a temporary directory, run a job of each kind and a schedule, and go on serving until Ctrl-C."""
    try:
        as_expected = asyncio.run(_until_stopped(leave=leave))
    except DemoFailed as error:
        raise click.ClickException(str(error)) from error
    raise click.exceptions.Exit(0 if as_expected else 1)


async def _until_stopped(*, leave: bool) -> bool:
    """Whether every job ended as it should; when stopped from outside before, whether none did otherwise."""
    out, play = console(), asyncio.current_task()
    if play is not None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, play.cancel)
    as_expected = True
    with suppress(asyncio.CancelledError):
        async with web_address() as address:
            _say(out, "Horae: every role in one process, on SQLite in a temporary directory.\n")
            async with serving(address.removeprefix("http://")) as server:
                as_expected = await _play(server, program(address), out)
                if not leave:
                    _say_goodbye(out, server)
                    await server.process.wait()
                    server.check()
    return as_expected


async def _play(server: Server, played: Program, out: Console) -> bool:
    """Runs the program to its end; whether all of it ended as it should."""
    clock = SystemClock()
    began = clock.monotonic()
    try:
        async with Client(server.url) as client:
            scene = await _opened(client, played)
            scene = await _shown_to_the_end(Stage(server, client, clock, began), played, scene, out)
    except ClientError as error:
        server.check()
        raise DemoFailed(str(error)) from error
    return _judged(played, scene, clock.monotonic() - began, out)


async def _opened(client: Client, played: Program) -> Scene:
    schedule = await create(client, played.recurring, _TAG)
    return Scene([await submit(client, act, _TAG) for act in played.acts], Series(schedule))


@dataclass(frozen=True, slots=True)
class Stage:
    """What a running program goes by."""

    server: Server
    client: Client
    clock: Clock
    began: float

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.began


async def _shown_to_the_end(stage: Stage, played: Program, scene: Scene, out: Console) -> Scene:
    waiting = {job.id: act.cancel_after for act, job in zip(played.acts, scene.jobs, strict=True) if act.cancel_after}
    with Board(played, out) as board:
        while True:
            board.show(scene)
            if scene.is_final or stage.elapsed() > _LONGEST:
                return scene
            stage.server.check()
            await asyncio.sleep(_LOOK_SECONDS)
            for job_id in [job_id for job_id, after in waiting.items() if after <= stage.elapsed()]:
                del waiting[job_id]
                await stage.client.cancel(job_id)
            scene = await again(stage.client, scene, _TAG)


def _judged(played: Program, scene: Scene, seconds: float, out: Console) -> bool:
    pairs = zip(played.acts, scene.jobs, strict=True)
    wrong = [f"“{act.title}” should have ended {act.ends}" for act, job in pairs if not act.as_expected(job)]
    if not played.recurring.as_expected(scene.series):
        wrong.append(f"“{played.recurring.title}” should have ended with {played.recurring.runs} jobs that succeeded")
    for words in wrong:
        _say(out, words, "red")
    if not wrong:
        _say(
            out,
            f"\nAll {len(scene.jobs)} jobs and the schedule ended as they should, in {seconds:.0f} seconds.",
            "green",
        )
    return not wrong


def _say_goodbye(out: Console, server: Server) -> None:
    lines = [
        ("API", f"{server.url}/api/v1"),
        ("Docs", f"{server.url}/docs"),
        ("Handlers", handlers.__file__),
        ("Log", str(server.directory / "serve.log")),
    ]
    for title, value in lines:
        out.print(Text.assemble((f"  {title:<10}", "bold"), value), soft_wrap=True)
    _say(out, "\nTry in another terminal:")
    for command in _commands(server.url):
        _say(out, f"  {command}", "cyan")
    _say(out, "\nCtrl-C stops it and leaves nothing behind.")


def _commands(url: str) -> list[str]:
    horae = Path(sys.executable).with_name("horae")
    horae = horae.relative_to(Path.cwd()) if horae.is_relative_to(Path.cwd()) else horae
    return [
        *([] if url == DEFAULT_URL else [f"export HORAE_URL={url}"]),
        f"{horae} job list",
        f"{horae} job submit demo.report -p '{{\"pages\": 20}}' --wait",
        f'{horae} job submit echo -p \'{{"hello": "you"}}\' --delay 5 --wait',
        f"{horae} schedule create hello --interval 5 --handler echo",
        f"{horae} schedule preview --cron '30 2 * * *' --timezone Europe/Berlin",
        f"{horae} queue list",
        f"curl {url}/api/v1/stats",
    ]


def _say(out: Console, words: str, style: str = "") -> None:
    out.print(Text(words, style=style), soft_wrap=True)
