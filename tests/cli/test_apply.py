"""`horae schedule apply`: against the real api, and against answers that it gives only when two apply at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import Result

from horae.client import Client, Schedule, new_job
from tests.cli.conftest import Run
from tests.client.canned import PREVIEW, SCHEDULE, Answer, Canned, problem, schedule

TAKEN = problem(409, "The name is taken", id=SCHEDULE["id"])
STALE = problem(412, "The schedule was changed since it was read")
ENTRY: dict[str, Any] = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "job": {"handler": "echo", "payload": {"hello": "world"}},
}
OURS = schedule(source="reports")


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """JSON is YAML."""
    return tmp_path / "reports.yaml"


def hold(file: Path, *entries: dict[str, Any], source: str = "reports") -> None:
    write(file, json.dumps({"source": source, "schedules": entries}, indent=1))


def write(file: Path, text: str) -> None:
    file.write_text(text)


def line_with(file: Path, text: str) -> int:
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


# ----------------------------------------------------------------------------------------------- one api, made up


async def test_what_is_as_it_should_be_is_not_written(canned: Canned, run: Run, file: Path) -> None:
    hold(file, ENTRY)
    canned.will_say(page(OURS))
    done = await run("schedule", "apply", "-f", str(file))
    assert (done.exit_code, done.stdout) == (0, "Nothing to do: 1 as they should be.\n")
    assert len(canned.asked) == 1


async def test_a_file_may_come_from_stdin(canned: Canned, run: Run) -> None:
    canned.will_say(page(OURS))
    text = json.dumps({"source": "reports", "schedules": [ENTRY]})
    assert (await run("schedule", "apply", "-f", "-", stdin=text)).exit_code == 0
    done = await run("schedule", "apply", "-f", "-", stdin="schedules: []")
    assert done.exit_code == 2
    assert "stdin:1: source should be a name" in done.stderr


async def test_a_wrong_file_is_wrong_usage(canned: Canned, run: Run, file: Path) -> None:
    write(file, "schedules:\n- {name: x\x1b}")
    done = await run("schedule", "apply", "-f", str(file))
    assert done.exit_code == 2
    assert f"{file}: not YAML: unacceptable character #x001b" in done.stderr
    assert canned.asked == []


async def test_a_schedule_made_meanwhile_by_the_same_file_is_no_error(canned: Canned, run: Run, file: Path) -> None:
    hold(file, ENTRY)
    canned.will_say(page(), PREVIEW, TAKEN, page(OURS))
    done = await run("schedule", "apply", "-f", str(file))
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-2:] == ["nightly  unchanged", "1 unchanged."]
    assert [asked.method for asked in canned.asked] == ["GET", "POST", "POST", "GET"]


async def test_one_made_meanwhile_by_others_is_refused(canned: Canned, run: Run, file: Path) -> None:
    hold(file, ENTRY)
    canned.will_say(page(), PREVIEW, TAKEN, page(schedule(source="others")))
    done = await run("schedule", "apply", "-f", str(file))
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "0 schedules, 1 refused."
    assert "nightly  The name is taken (409)" in done.stderr


async def test_a_change_made_meanwhile_is_looked_at_anew(canned: Canned, run: Run, file: Path) -> None:
    hold(file, {**ENTRY, "overlap": "skip", "misfire": "skip"})
    newer = {**OURS, "version": 9, "misfire": "skip"}
    canned.will_say(page(OURS), PREVIEW, STALE, page(newer), {**newer, "version": 10})
    done = await run("schedule", "apply", "-f", str(file))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 changed.")
    first, second = (asked for asked in canned.asked if asked.method == "PATCH")
    assert (first.headers["If-Match"], first.body) == ('"4"', {"misfire": "skip", "overlap": "skip"})
    assert (second.headers["If-Match"], second.body) == ('"9"', {"overlap": "skip"})


async def test_one_that_changes_all_the_time_is_given_up(canned: Canned, run: Run, file: Path) -> None:
    hold(file, {**ENTRY, "overlap": "skip"})
    tries: list[Answer | Mapping[str, Any]] = [STALE, page(OURS)]
    canned.will_say(page(OURS), PREVIEW, *tries * 5)
    done = await run("schedule", "apply", "-f", str(file))
    assert done.exit_code == 1
    assert len([asked for asked in canned.asked if asked.method == "PATCH"]) == 5


async def test_one_deleted_meanwhile_is_made_again(canned: Canned, run: Run, file: Path) -> None:
    hold(file, {**ENTRY, "overlap": "skip"})
    canned.will_say(page(OURS), PREVIEW, problem(404), page(), Answer(OURS, 201))
    done = await run("schedule", "apply", "-f", str(file))
    assert (done.exit_code, done.stdout.splitlines()[-2:]) == (0, ["nightly  created", "1 created."])


async def test_what_was_given_away_meanwhile_is_not_deleted(canned: Canned, run: Run, file: Path) -> None:
    hold(file)
    canned.will_say(page(OURS), schedule(source="others"))
    assert (await run("schedule", "apply", "-f", str(file), "--prune", "--allow-empty")).exit_code == 0
    assert [asked.method for asked in canned.asked] == ["GET", "GET"]
    canned.asked.clear()
    canned.will_say(page(OURS), OURS, Answer(b"", 204))
    assert (await run("schedule", "apply", "-f", str(file), "--prune", "--allow-empty")).exit_code == 0
    assert [asked.method for asked in canned.asked] == ["GET", "GET", "DELETE"]


async def test_nothing_is_deleted_after_a_refusal(canned: Canned, run: Run, file: Path) -> None:
    hold(file, {**ENTRY, "name": "new"})
    canned.will_say(page(OURS), PREVIEW, problem(403, "Forbidden"))
    done = await run("schedule", "apply", "-f", str(file), "--prune", "--allow-empty")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "0 schedules, 1 refused.")
    assert "new  Forbidden (403)" in done.stderr
    assert "DELETE" not in [asked.method for asked in canned.asked]


async def test_no_connection_is_3(run: Run, file: Path, unused_tcp_port: int) -> None:
    hold(file, ENTRY)
    done = await run("schedule", "apply", "-f", str(file), HORAE_URL=f"http://127.0.0.1:{unused_tcp_port}")
    assert done.exit_code == 3


async def test_runs_that_are_over_are_not_foreseen(canned: Canned, run: Run, file: Path) -> None:
    hold(file, {**ENTRY, "max_runs": 20, "cron": "0 4 * * *"})
    canned.will_say(page(OURS), PREVIEW)
    assert (await run("schedule", "apply", "-f", str(file), "--plan")).exit_code == 0
    assert canned.asked[1].body["max_runs"] == 20 - SCHEDULE["runs"]


# ------------------------------------------------------------------------------------------------------- a real api


@pytest.fixture
async def real(url: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        yield client


@pytest.fixture
def source() -> str:
    """A source of this test's own: all tests share one server."""
    return f"s-{uuid4().hex[:12]}"


@pytest.fixture
def apply(run: Run, url: str, file: Path) -> Callable[..., Any]:
    async def apply(*words: str) -> Result:
        return await run("schedule", "apply", "-f", str(file), *words, HORAE_URL=url)

    return apply


async def of(client: Client, source: str) -> dict[str, Schedule]:
    return {one.name: one async for one in client.schedules(source=source)}


async def test_a_file_from_its_first_apply_to_its_end(
    real: Client, source: str, file: Path, apply: Callable[..., Any]
) -> None:
    night = {**ENTRY, "name": f"{source} night"}
    hour = {"name": f"{source} hour", "interval_seconds": 3600, "job": {"handler": "noop"}, "max_runs": 5}
    hold(file, night, hour, source=source)

    planned = await apply("--plan")
    assert (planned.exit_code, planned.stdout.splitlines()[-1]) == (0, "2 to create. Nothing was written.")
    assert "At 03:00 every day, by the clock of Europe/Berlin." in planned.stdout
    assert await of(real, source) == {}

    made = await apply()
    assert (made.exit_code, made.stdout.splitlines()[-1]) == (0, "2 created.")
    first = await of(real, source)
    assert set(first) == {night["name"], hour["name"]}

    again = await apply("--prune", "--allow-empty")
    assert (again.exit_code, again.stdout) == (0, "Nothing to do: 2 as they should be.\n")
    assert await of(real, source) == first

    hold(file, {**night, "cron": "30 2 * * *", "job": {**night["job"], "queue": "mail"}}, source=source)
    seen = json.loads((await apply("--plan", "--json")).stdout)
    assert seen["counts"] == {"create": 0, "update": 1, "keep": 0, "delete": 0, "stray": 1, "refuse": 0}
    (change, stray) = seen["items"]
    assert change["changes"] == {
        "cron": {"old": "0 3 * * *", "new": "30 2 * * *"},
        "job.queue": {"old": None, "new": "mail"},
    }
    fires = {side: {fire["local_time"][11:16] for fire in change["next_fires"][side]} for side in ("before", "after")}
    assert [len(change["next_fires"][side]) for side in ("before", "after")] == [5, 5]
    assert fires["before"] == {"03:00"}
    assert "02:30" in fires["after"]
    assert (stray["name"], stray["action"]) == (hour["name"], "stray")

    changed = await apply("--prune", "--allow-empty")
    assert (changed.exit_code, changed.stdout.splitlines()[-1]) == (0, "1 changed, 1 deleted.")
    (left,) = (await of(real, source)).values()
    assert (left.id, left.version, left.cron) == (first[night["name"]].id, 2, "30 2 * * *")
    assert left.job["queue"] == "mail"


async def test_every_field_comes_back_as_it_was_said(source: str, file: Path, apply: Callable[..., Any]) -> None:
    job = new_job("echo", {"a": [1, {"b": None}]}, queue="mail", priority="low", tags=["b", "a"], max_retries=0)
    job |= {"backoff": {"kind": "linear", "max_seconds": 5}, "timeout_seconds": 60, "retry_for_seconds": 1.5}
    rules = {"misfire": "fire_all", "misfire_grace_seconds": 0, "overlap": "replace", "max_runs": 7}
    bounds = {"start_at": "2030-01-01T01:00:00+01:00", "end_at": "2031-01-01T00:00:00Z"}
    clocks = {"dst_gap": "skip", "dst_fold": "both", "timezone": "Australia/Lord_Howe"}
    others = {"jitter_seconds": 30, "must_succeed_within_seconds": 60}
    cron = {"name": f"{source} cron", "cron": " 0  9 * * mon-FRI", **rules, **bounds, **clocks, **others, "job": job}
    interval = {"name": f"{source} interval", "interval_seconds": 90, **rules, **bounds, **others, "job": job}
    hold(file, cron, interval, source=source)
    assert (await apply()).stdout.splitlines()[-1] == "2 created."
    assert (await apply()).stdout == "Nothing to do: 2 as they should be.\n"
    # To the other rhythm and back.
    hold(file, {**interval, "name": cron["name"]}, {**cron, "name": interval["name"]}, source=source)
    assert (await apply()).stdout.splitlines()[-1] == "2 changed."
    assert (await apply()).stdout == "Nothing to do: 2 as they should be.\n"


async def test_one_wrong_entry_and_nothing_is_written(
    real: Client, source: str, file: Path, apply: Callable[..., Any]
) -> None:
    names = [f"{source} {number}" for number in range(3)]
    wrong = {"name": names[1], "cron": "61 * * * *", "job": {"handler": "nope"}}
    hold(file, {**ENTRY, "name": names[0]}, wrong, {**ENTRY, "name": names[2], "jitter": 5}, source=source)
    done = await apply()
    assert (done.exit_code, done.stdout) == (1, "")
    handler, cron, jitter = (line_with(file, text) for text in ("nope", "61 *", "jitter"))
    told = done.stderr.splitlines()
    assert any(line.startswith(f"{file}:{cron}: schedule '{names[1]}', cron: ") for line in told)
    assert any(line.startswith(f"{file}:{handler}: schedule '{names[1]}', job.handler: 'nope'") for line in told)
    assert any(line.startswith(f"{file}:{jitter}: schedule '{names[2]}', jitter: ") for line in told)
    assert told[-1] == "Nothing was written."
    assert await of(real, source) == {}


async def test_what_was_made_by_hand_is_adopted_on_request(
    real: Client, source: str, file: Path, apply: Callable[..., Any]
) -> None:
    name = f"{source} by hand"
    made = await real.create_schedule(name, new_job("echo"), cron="0 3 * * *")
    hold(file, {**ENTRY, "name": name}, source=source)
    refused = await apply("--json")
    assert refused.exit_code == 1
    assert f"schedule '{name}', name: one of this name was made by hand: --adopt takes it over" in refused.stderr
    assert json.loads(refused.stdout)["counts"]["refuse"] == 1
    assert await of(real, source) == {}
    assert (await apply("--adopt")).stdout.splitlines()[-1] == "1 changed."
    assert (await of(real, source))[name].id == made.id


async def test_two_deploys_at_once_make_each_schedule_once(
    real: Client, source: str, file: Path, apply: Callable[..., Any]
) -> None:
    names = [f"{source} {number}" for number in range(8)]
    hold(file, *({**ENTRY, "name": name} for name in names), source=source)
    ends = await asyncio.gather(*(apply() for _ in range(3)))
    assert [end.exit_code for end in ends] == [0, 0, 0]
    assert list(await of(real, source)) == names
    assert {one.version for one in (await of(real, source)).values()} == {1}


async def test_an_empty_file_prunes_nothing_unless_that_is_meant(file: Path, run: Run) -> None:
    hold(file)
    done = await run("schedule", "apply", "-f", str(file), "--prune")
    assert done.exit_code == 2
    assert "--allow-empty" in done.stderr
