"""Commands as processes against a real server: exit codes, signals, terminals."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from horae.client import Client
from tests.cli.processes import ended, horae, on_terminal, said, start
from tests.support.waiting import eventually


async def test_a_job_by_command_line_alone(url: str) -> None:
    submitted = await horae("job", "submit", "echo", "-p", '{"a": 1}', HORAE_URL=url)
    job_id = submitted.out.strip()
    assert (submitted.code, submitted.err) == (0, "")
    watched = await horae("job", "watch", job_id, HORAE_URL=url)
    assert watched.code == 0
    assert 'SUCCESS    attempt 1 of 4  {"a":1}' in watched.out
    shown = json.loads((await horae("job", "show", job_id, "--json", HORAE_URL=url)).out)
    assert shown["job"]["result"] == {"a": 1}
    assert job_id in (await horae("job", "list", "--state", "SUCCESS", HORAE_URL=url)).out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("job", "submit", "noop", "--wait"), 0),
        (("job", "submit", "fail", "-p", '{"times": 1}', "--max-retries", "0", "--wait"), 1),
        (("job", "submit", "noop", "--priority", "urgent"), 2),
        (("worker", "list"), 0),
    ],
    ids=str,
)
async def test_exit_codes(url: str, words: tuple[str, ...], code: int) -> None:
    assert (await horae(*words, HORAE_URL=url)).code == code


async def test_no_connection_is_3(unused_tcp_port: int) -> None:
    done = await horae("job", "list", HORAE_URL=f"http://127.0.0.1:{unused_tcp_port}")
    assert done.code == 3
    assert len(done.err.splitlines()) == 1


async def test_ctrl_c_stops_following_and_the_job_goes_on(url: str) -> None:
    process = await start("job", "submit", "sleep", "-p", '{"seconds": 60}', "--wait", HORAE_URL=url)
    job_id = (await said(process, "-")).strip()
    await said(process, "RUNNING")
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert done.code == 130
    assert done.err == f"The job goes on. See it again with: horae job watch {job_id}\n"
    async with Client(url) as client:
        assert (await client.get(job_id)).state == "RUNNING"
        await client.cancel(job_id)


async def test_following_on_a_terminal_is_alive(url: str) -> None:
    words = ("job", "submit", "fail", "-p", '{"times": 1}', "--backoff", "fixed:2", "--wait")
    async with on_terminal(*words, HORAE_URL=url) as terminal:
        await eventually(lambda: "again in 1s, after DeliberateFailure" in terminal.shown, seconds=30)
        assert await terminal.end() == 0
        assert "✓  SUCCESS  attempt 2 of 4" in terminal.shown


async def test_a_confirmation_is_asked_for_on_a_terminal(url: str) -> None:
    async with Client(url) as client:
        await client.submit("noop", delay=3600, tags=["to-confirm"])
        cancelled = await horae("job", "cancel", "--tag", "to-confirm", HORAE_URL=url)
        assert cancelled.code == 1
        assert "Cancel 1 job?" in cancelled.err
        assert (await horae("job", "cancel", "--tag", "to-confirm", "--yes", HORAE_URL=url)).out == "1 job cancelled\n"


# ----------------------------------------------------------------------------------------------- serve, migrate, check


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/horae.db"


async def test_serve_greets_a_terminal_and_drains_on_sigterm(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    words = ("serve", "--port", str(unused_tcp_port))
    async with on_terminal(*words, HORAE_DATABASE_URL=database(tmp_path)) as terminal:
        await eventually(lambda: "Ctrl-C" in terminal.shown, seconds=30)
        for text in (f"{url}/api/v1", f"{url}/docs", "SQLite", "api, scheduler, worker"):
            assert text in terminal.shown
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.end() == 0


@pytest.mark.parametrize(
    ("flags", "settings", "named"),
    [
        (("--port", "-1"), {"HORAE_PORT": "8080"}, "HORAE_PORT"),
        (("--handlers", "no.such.module"), {}, "HORAE_HANDLERS"),
        ((), {"HORAE_DATABASE_URL": "postgres://me:hunter2@host/db"}, "HORAE_DATABASE_URL"),
    ],
    ids=str,
)
async def test_a_wrong_setting_is_one_line_that_names_it(
    tmp_path: Path, flags: tuple[str, ...], settings: dict[str, str], named: str
) -> None:
    done = await horae("serve", *flags, **{"HORAE_DATABASE_URL": database(tmp_path), **settings})
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert named in done.err
    assert "hunter2" not in done.err


async def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    settings = {"HORAE_DATABASE_URL": database(tmp_path)}
    behind = await horae("migrate", "--check", **settings)
    assert behind.code == 1
    assert "horae migrate" in behind.err
    first = await horae("migrate", **settings)
    assert first.code == 0
    assert first.out.startswith("Migrated from an empty database to ")
    again = json.loads((await horae("migrate", "--json", **settings)).out)
    assert again["before"] == again["after"]


async def test_check_names_what_it_looked_at(tmp_path: Path) -> None:
    settings = {"HORAE_DATABASE_URL": database(tmp_path)}
    wrong = await horae("check", **settings)
    assert wrong.code == 1
    assert any(text.startswith("✗ database") and "horae migrate" in text for text in wrong.out.splitlines())
    assert (await horae("migrate", **settings)).code == 0
    right = await horae("check", **settings)
    assert right.code == 0
    assert [text[:10] for text in right.out.splitlines()] == ["✓ database", "✓ broker  ", "✓ zones   "]


async def test_migrate_without_its_server_is_3(unused_tcp_port: int) -> None:
    address = f"mysql://me:hunter2@127.0.0.1:{unused_tcp_port}/db"
    done = await horae("migrate", "--check", HORAE_DATABASE_URL=address, HORAE_BROKER_URL="amqp://127.0.0.1:1")
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    assert "hunter2" not in done.err + done.out
