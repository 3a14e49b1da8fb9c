"""Commands against answers made up for them: what they ask, print, and how they end."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from subprocess import run as start

import click
import pytest

from horae.cli.commands import Command
from horae.cli.main import cli
from tests.cli.conftest import Run
from tests.client.canned import JOB, Answer, Canned, job, problem

ID = JOB["id"]
UNCOUNTED = problem(409, "The filter finds another number of jobs", count=12)


# ------------------------------------------------------------------------------------------------------------- help


def commands(group: click.Group = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = [pytest.param(path, command, id=" ".join(path)) for path, command in commands()]
LEAVES = [each for each in ALL if not isinstance(each.values[1], click.Group)]


@pytest.mark.parametrize(("path", "command"), LEAVES)
async def test_every_command_has_help_with_examples(run: Run, path: tuple[str, ...], command: Command) -> None:
    told = await run(*path, "--help")
    assert told.exit_code == 0
    assert command.examples
    assert all(example in told.output for example in command.examples)


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_every_example_is_one(path: tuple[str, ...], command: Command) -> None:
    for example in command.examples:
        words = shlex.split(example.split(" || ")[0].split(" | ")[0].removeprefix("id=$(").removesuffix(")"))
        if words[0].startswith("scripts/"):
            continue
        given = words[words.index(path[-1]) + 1 :]
        command.make_context(path[-1], [word.replace("@invoice.json", "{}") for word in given])


def test_help_imports_nothing_heavy() -> None:
    seen = start(
        [sys.executable, "-X", "importtime", "-m", "horae", "--help"], capture_output=True, text=True, check=True
    )
    assert "Commands:" in seen.stdout
    heavy = ("aiohttp", "rich", "pydantic", "sqlalchemy", "structlog", "orjson", "asyncio")
    imported = {row.rpartition("|")[2].strip().partition(".")[0] for row in seen.stderr.splitlines()}
    assert imported & {"click"}
    assert not imported & set(heavy)


# ------------------------------------------------------------------------------------------------------------ submit


async def test_submit_prints_the_id_alone(canned: Canned, run: Run) -> None:
    canned.will_say(job())
    done = await run("job", "submit", "echo", "-p", '{"a": 1}', "--queue", "mail", "--priority", "high", "--tag", "x")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{ID}\n", "")
    body = canned.asked[0].body
    body.pop("idempotency_key")
    assert body == {"handler": "echo", "payload": {"a": 1}, "queue": "mail", "priority": "high", "tags": ["x"]}


async def test_submit_knows_every_field(canned: Canned, run: Run) -> None:
    canned.will_say(job())
    words = "--delay 5 --max-retries 0 --backoff fixed:2 --timeout 9 --retry-for 60 --idempotency-key k"
    await run("job", "submit", "echo", *words.split(), "--expires-at", "2030-01-01T00:00:00Z")
    assert canned.asked[0].body == {
        "handler": "echo",
        "payload": {},
        "delay_seconds": 5.0,
        "max_retries": 0,
        "backoff": {"kind": "fixed", "base_seconds": 2.0},
        "timeout_seconds": 9.0,
        "retry_for_seconds": 60.0,
        "idempotency_key": "k",
        "expires_at": "2030-01-01T00:00:00Z",
    }


async def test_submit_reads_the_payload_from_stdin(canned: Canned, run: Run) -> None:
    canned.will_say(job())
    assert (await run("job", "submit", "echo", "-p", "-", stdin='{"from": "stdin"}')).exit_code == 0
    assert canned.asked[0].body["payload"] == {"from": "stdin"}


async def test_submit_as_json(canned: Canned, run: Run) -> None:
    canned.will_say(job())
    done = await run("job", "submit", "echo", "--json")
    assert json.loads(done.stdout)["run_at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "words",
    [
        ["echo", "-p", "{"],
        ["echo", "-p", "[]"],
        ["echo", "--priority", "urgent"],
        ["echo", "--at", "2030-01-01T00:00:00Z", "--delay", "5"],
        [],
        ["echo", "--nope"],
    ],
    ids=str,
)
async def test_wrong_usage_is_2(canned: Canned, run: Run, words: list[str]) -> None:
    assert (await run("job", "submit", *words)).exit_code == 2
    assert canned.asked == []


async def test_a_refusal_lists_the_fields_and_is_1(canned: Canned, run: Run) -> None:
    errors = [{"field": "handler", "message": "'nope\x1b[2J' is not a known handler"}, {"field": "a", "message": "b"}]
    canned.will_say(problem(422, "Some fields are wrong", errors=errors))
    done = await run("job", "submit", "nope")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "Some fields are wrong (422)",
        r"  handler: 'nope\x1b[2J' is not a known handler",
        "  a: b",
    ]


async def test_no_connection_is_3_in_one_line(run: Run, unused_tcp_port: int) -> None:
    done = await run("job", "list", HORAE_URL=f"http://127.0.0.1:{unused_tcp_port}")
    assert (done.exit_code, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"http://127.0.0.1:{unused_tcp_port}" in done.stderr
    assert "HORAE_URL" in done.stderr


async def test_another_server_is_3_too(canned: Canned, run: Run) -> None:
    canned.will_say(Answer(b"<html>", headers={"Content-Type": "text/html"}))
    assert (await run("job", "list")).exit_code == 3


async def test_a_url_that_is_none_is_wrong_usage(run: Run) -> None:
    done = await run("job", "list", HORAE_URL="localhost")
    assert done.exit_code == 2
    assert "HORAE_URL" in done.stderr


# ------------------------------------------------------------------------------------------------------------ follow


async def test_following_prints_each_change_and_ends_as_the_job(canned: Canned, run: Run) -> None:
    failed = job(state="FAILED", attempt=1, error={"type": "E", "message": "no \x1b[31mluck", "traceback": None})
    canned.will_say(job(), job(), job(state="RUNNING", attempt=1), failed)
    done = await run("job", "submit", "echo", "--wait")
    assert done.exit_code == 1
    first, *rest = done.stdout.splitlines()
    assert first == ID
    assert [text.split("Z  ", 1)[1] for text in rest] == [
        "PENDING    waits for a worker",
        "RUNNING    attempt 1 of 4",
        r"FAILED     attempt 1 of 4  E: no \x1b[31mluck",
    ]
    assert f"horae job show {ID}" in done.stderr


async def test_watching_a_job_to_its_success_is_0(canned: Canned, run: Run) -> None:
    canned.will_say(job(), job(), job(state="SUCCESS", result={"a": 1}))
    done = await run("job", "watch", ID, "--json")
    assert done.exit_code == 0
    assert [json.loads(text)["state"] for text in done.stdout.splitlines()] == ["PENDING", "SUCCESS"]


async def test_watching_survives_a_blip(canned: Canned, run: Run) -> None:
    canned.will_say(job(), Answer(cut=True), Answer(cut=True), problem(503), job(state="SUCCESS"))
    assert (await run("job", "watch", ID)).exit_code == 0


async def test_watching_what_is_not_there_is_1(canned: Canned, run: Run) -> None:
    canned.will_say(problem(404, "There is no such thing", detail="no job 'x' in this namespace"))
    done = await run("job", "watch", "x")
    assert done.exit_code == 1
    assert "no job 'x'" in done.stderr


# -------------------------------------------------------------------------------------------------------- list, show


async def test_list_asks_for_what_was_said(canned: Canned, run: Run) -> None:
    canned.will_say({"items": [job()], "next_cursor": None})
    words = "--state failed --state CANCELLED --queue mail --search luck --created-after 2026-03-01T00:00:00Z --limit 7"
    assert (await run("job", "list", *words.split())).exit_code == 0
    assert canned.asked[0].query == {
        "state": ["FAILED", "CANCELLED"],
        "queue": ["mail"],
        "q": ["luck"],
        "created_after": ["2026-03-01T00:00:00Z"],
        "limit": ["7"],
    }


async def test_list_says_that_there_is_more(canned: Canned, run: Run) -> None:
    canned.will_say({"items": [job()], "next_cursor": "c"})
    done = await run("job", "list", "--limit", "1")
    assert ID in done.stdout
    assert "--all" in done.stderr


async def test_list_goes_on_to_the_limit_and_with_all_to_the_end(canned: Canned, run: Run) -> None:
    full, rest = [job()] * 200, [job()] * 50
    canned.will_say({"items": full, "next_cursor": "c"}, {"items": rest, "next_cursor": None})
    done = await run("job", "list", "--limit", "300", "--json")
    assert len(json.loads(done.stdout)["items"]) == 250
    assert [asked.query["limit"] for asked in canned.asked] == [["200"], ["100"]]
    canned.will_say({"items": full, "next_cursor": "c"}, {"items": rest, "next_cursor": None})
    assert len(json.loads((await run("job", "list", "--all", "--json")).stdout)["items"]) == 250


async def test_an_empty_list_says_so_to_people_only(canned: Canned, run: Run) -> None:
    canned.will_say({"items": [], "next_cursor": None})
    done = await run("job", "list")
    assert (done.stdout, done.stderr) == ("", "No job is found.\n")
    done = await run("job", "list", "--json")
    assert json.loads(done.stdout) == {"items": [], "next_cursor": None}


async def test_show_has_attempts_error_payload_and_result(canned: Canned, run: Run) -> None:
    error = {"type": "ValueError", "message": "no \x1b]0;luck\x07", "traceback": 'File "x.py", line 1\n  [/bold]boom'}
    attempt = {"attempt": 1, "outcome": "failed", "started_at": JOB["run_at"], "finished_at": "2026-03-01T12:00:01Z"}
    canned.will_say(
        job(state="FAILED", attempt=1, failures=1, error=error, result={"kept": True}, payload={"[red]": "\x1b[2J"}),
        {"items": [{**attempt, "error": error}]},
    )
    done = await run("job", "show", ID)
    assert done.exit_code == 0
    for text in (ID, "FAILED", "failed", "[/bold]boom", '"kept": true', '"[red]": "\\u001b[2J"', r"no \x1b]0;luck\x07"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout
    canned.will_say(job(), {"items": [attempt]})
    shown = json.loads((await run("job", "show", ID, "--json")).stdout)
    assert shown["job"]["id"] == ID
    assert shown["attempts"][0]["outcome"] == "failed"


# -------------------------------------------------------------------------------------------------- cancel and retry


async def test_several_ids_each_get_their_answer(canned: Canned, run: Run) -> None:
    running = job(id="2", state="RUNNING", cancel_requested=True)
    canned.will_say(job(id="1", state="CANCELLED"), problem(409, "not allowed", detail="it is SUCCESS"), running)
    done = await run("job", "cancel", "1", "x", "2")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == ["1  CANCELLED", "2  asked to stop"]
    assert done.stderr == "x  not allowed: it is SUCCESS (409)\n"


async def test_several_ids_as_json(canned: Canned, run: Run) -> None:
    canned.will_say(job(id="1", state="PENDING"), problem(404, "no such job"))
    done = await run("job", "retry", "1", "x", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [item["id"] for item in told["items"]] == ["1"]
    assert told["problems"]["x"]["title"] == "no such job"


async def test_a_filter_is_counted_shown_and_confirmed(canned: Canned, run: Run) -> None:
    canned.will_say(UNCOUNTED, {"matched": 12, "done": 11, "refused": 1, "next_cursor": None})
    done = await run("job", "cancel", "--queue", "mail", stdin="y\n")
    assert done.exit_code == 0
    assert "Cancel 12 jobs? [y/N]" in done.stderr
    assert done.stdout == "11 jobs cancelled, 1 refused: their state had changed\n"
    where = {"state": ["PENDING", "QUEUED", "RUNNING", "RETRYING"], "queue": "mail"}
    assert canned.asked[0].body["filter"] == where
    assert canned.asked[1].body == {"action": "cancel", "filter": where, "expected_count": 12}


@pytest.mark.parametrize("stdin", ["n\n", ""], ids=["no", "nobody"])
async def test_without_a_yes_nothing_is_done(canned: Canned, run: Run, stdin: str) -> None:
    canned.will_say(UNCOUNTED)
    assert (await run("job", "retry", "--all", stdin=stdin)).exit_code == 1
    assert len(canned.asked) == 1
    assert "expected_count" not in canned.asked[0].body


async def test_with_yes_it_does_not_ask(canned: Canned, run: Run) -> None:
    canned.will_say(UNCOUNTED, {"matched": 12, "done": 12, "refused": 0, "next_cursor": None})
    done = await run("job", "retry", "--tag", "nightly", "--yes", "--json")
    assert json.loads(done.stdout) == {"matched": 12, "done": 12, "refused": 0}
    assert canned.asked[1].body["filter"] == {"state": ["FAILED"], "tag": "nightly"}


async def test_a_state_of_ones_own_replaces_the_usual_ones(canned: Canned, run: Run) -> None:
    canned.will_say(problem(409, count=0))
    done = await run("job", "retry", "--state", "CANCELLED")
    assert (done.exit_code, done.stdout) == (0, "0 jobs retried\n")
    assert canned.asked[0].body["filter"] == {"state": ["CANCELLED"]}


@pytest.mark.parametrize("words", [[], ["1", "--all"], ["1", "--queue", "mail"]], ids=str)
async def test_ids_and_filters_exclude_each_other(canned: Canned, run: Run, words: list[str]) -> None:
    assert (await run("job", "cancel", *words)).exit_code == 2
    assert canned.asked == []


# -------------------------------------------------------------------------------------------------- queues, workers


async def test_queues(canned: Canned, run: Run) -> None:
    queue = {"name": "mail", "paused": True, "paused_by": "me", "paused_at": JOB["run_at"], "depth": {"PENDING": 1234}}
    canned.will_say({"items": [queue]})
    done = await run("queue", "list")
    assert "mail" in done.stdout
    assert "paused" in done.stdout
    assert "1234" in done.stdout
    assert json.loads((await run("queue", "list", "--json")).stdout)["items"][0]["depth"] == {"PENDING": 1234}


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_queues_are_paused_and_resumed(canned: Canned, run: Run, verb: str) -> None:
    canned.will_say({}, {}, {"items": [{"name": "a", "paused": True}, {"name": "c", "paused": False}]})
    done = await run("queue", verb, "a", "b")
    assert done.stdout == f"a  {verb}d\nb  {verb}d\n"
    assert [(asked.method, asked.path) for asked in canned.asked[:2]] == [
        ("POST", f"/api/v1/queues/a/{verb}"),
        ("POST", f"/api/v1/queues/b/{verb}"),
    ]


async def test_workers(canned: Canned, run: Run) -> None:
    worker = {"id": ID, "name": "host:12", "state": "DRAINING", "queues": ["a", "b"], "slots": 100, "running": 3}
    canned.will_say({"items": [worker]})
    done = await run("worker", "list")
    for text in ("host:12", "DRAINING", "3/100", "a, b", ID):
        assert text in done.stdout
    canned.will_say({"items": []})
    assert "horae serve --role worker" in (await run("worker", "list")).stderr
