"""What a file of schedules says, and where it is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from horae.cli.schedules.applying.files import read_file
from horae.cli.schedules.applying.wanted import BadFile

YAML = """\
source: reports

schedules:
  - name: nightly
    cron: "0 3 * * *"
    start_at: 2030-01-01 02:00:00+02:00
    end_at:
    job: &job
      handler: report.make
      payload: {kind: daily, deep: [1, {x: null}]}
  - name: hourly
    interval_seconds: 3600
    job:
      <<: *job
      queue: mail
"""

PYTHON = """\
from datetime import UTC, datetime, timedelta
from beside import HANDLER

schedules = [
    {
        "name": f"every {hours} hours",
        "interval_seconds": timedelta(hours=hours),
        "start_at": datetime(2030, 1, 1, tzinfo=UTC),
        "job": {"handler": HANDLER, "tags": ("a", "b")},
    }
    for hours in (1, 2)
]
"""


QUOTES = "an expression that begins with * or @ needs quotes"


def written(folder: Path, text: str, name: str = "file.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_yaml_file_is_read_with_its_lines(tmp_path: Path) -> None:
    name = written(tmp_path, YAML)
    found = read_file(name)
    assert found.source == "reports"
    nightly, hourly = found.entries
    assert nightly.fields == {
        "name": "nightly",
        "cron": "0 3 * * *",
        "start_at": "2030-01-01T00:00:00Z",
        "job": {"handler": "report.make", "payload": {"kind": "daily", "deep": [1, {"x": None}]}},
        "source": "reports",
    }
    assert hourly.fields["job"] == {**nightly.fields["job"], "queue": "mail"}
    places = {
        "": 4,
        "name": 4,
        "cron": 5,
        "job.handler": 9,
        "job.payload.kind": 10,
        "job.payload.deep.1.x": 10,
        "max_runs": 4,
    }
    assert {member: nightly.place.of(member) for member in places} == {
        member: f"{name}:{line}" for member, line in places.items()
    }
    assert hourly.problem("job.queue", "is wrong") == f"{name}:15: schedule 'hourly', job.queue: is wrong"


def test_a_python_file_is_run_as_a_script_is(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text('HANDLER = "report.make"\n')
    name = written(tmp_path, PYTHON, "deploy.py")
    found = read_file(name)
    assert found.source == "deploy"
    assert [entry.name for entry in found.entries] == ["every 1 hours", "every 2 hours"]
    assert found.entries[1].fields == {
        "name": "every 2 hours",
        "interval_seconds": 7200.0,
        "start_at": "2030-01-01T00:00:00Z",
        "job": {"handler": "report.make", "tags": ["a", "b"]},
        "source": "deploy",
    }
    assert found.entries[1].problem("job", "no") == f"{name}: schedule 'every 2 hours', job: no"


def test_only_a_yaml_file_costs_the_import_of_yaml(tmp_path: Path) -> None:
    name = written(tmp_path, "schedules = []", "file.py")
    code = f"from horae.cli.schedules.applying.command import read_file; import sys; read_file({name!r}); "
    asked = [sys.executable, "-c", f"{code}print('yaml' in sys.modules)"]
    assert subprocess.check_output(asked, text=True).strip() == "False"


def test_the_source_is_the_name_of_the_file(tmp_path: Path) -> None:
    assert read_file(written(tmp_path, "schedules: []", "team-a.yml")).source == "team-a"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "{file}: should hold `schedules:` with a list below it"),
        ("- a", "{file}:1: should hold `schedules:` with a list below it"),
        ("source: x", "{file}:1: schedules should be a list of schedules"),
        ("schedules: []\nsource: 5", "{file}:2: source should be a name, to know its schedules by"),
        ("schedules: []\nprune: true", "{file}:2: 'prune' is not known; it holds source and schedules"),
        ("schedules:\n- 5", "{file}:2: a schedule should be a mapping: name, cron, job and others"),
        ("schedules:\n- cron: x", "{file}:2: a schedule needs a name, as text"),
        ("schedules:\n- {name: 5}", "{file}:2: a schedule needs a name, as text"),
        ("schedules:\n- name: x", "{file}:2: schedule 'x': needs a job, with a handler"),
        ("schedules:\n- name: x\n  job: y", "{file}:3: schedule 'x': needs a job, with a handler"),
        ("schedules:\n- {name: x, source: y}", "{file}:2: schedule 'x': source is said once, for the whole file"),
        (
            "schedules:\n- {name: x, job: {}}\n- {name: x, job: {}}",
            "{file}:3: schedule 'x', name: is taken: {file}:2 has it already",
        ),
        ("schedules:\n- name: x\n  name: y", "{file}:3: 'name' stands there twice, first in line 2"),
        (
            "schedules:\n- name: x\n  cron: */5 * * * *",
            f"{{file}}:3: not YAML: expected alphabetic or numeric character, but found '/': {QUOTES}",
        ),
        (
            "schedules:\n- name: x\n  cron: @daily",
            f"{{file}}:3: not YAML: found character '@' that cannot start any token: {QUOTES}",
        ),
        (
            "schedules:\n- name: x\n  job: {}\n  start_at: 2030-01-01",
            "{file}:4: schedule 'x', start_at: is the date 2030-01-01: quote it, or give a time such as ",
        ),
        (
            "schedules:\n- name: x\n  job: {}\n  start_at: 2030-01-01 08:00:00",
            "{file}:4: schedule 'x', start_at: 2030-01-01 08:00:00 needs a time zone, such as 2030-01-01T08:00:00Z",
        ),
        (
            "schedules:\n- name: x\n  job:\n    payload: {no: 1, 5: 2}",
            "{file}:4: schedule 'x', job.payload: the key False should be text: quote it",
        ),
        (
            "schedules:\n- {name: x, job: {}, on: 1}",
            "{file}:2: schedule 'x': True is not a name of a field",
        ),
        (
            "schedules:\n- name: x\n  job:\n    payload: {a: [.nan]}",
            "{file}:4: schedule 'x', job.payload.a.0: JSON can't hold such a value (float)",
        ),
        (
            "schedules:\n- name: x\n  job: &job\n    payload: {a: *job}",
            "{file}:3: schedule 'x', job: is nested too deeply",
        ),
        ("a: !!python/object:os.system {}", "{file}:1: not YAML: could not determine a constructor for the tag"),
        ("a: \x00", "{file}: not YAML: unacceptable character #x0000"),
        ("--- 1\n--- 2", "{file}:2: not YAML: but found another document"),
    ],
)
def test_a_wrong_file_tells_the_line(tmp_path: Path, text: str, told: str) -> None:
    name = written(tmp_path, text)
    with pytest.raises(BadFile) as caught:
        read_file(name)
    assert str(caught.value).startswith(told.replace("{file}", name))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", ": has no list named schedules"),
        ("schedules = [", ":1: SyntaxError: '[' was never closed"),
        ("\nschedules = [1 / 0]", ":2: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", ":1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit", ":1: SystemExit"),
        ("schedules = 5", ": schedules should be a list of schedules"),
        ("schedules = [{'name': 'x', 'job': {'a': {1}}}]", ": schedule 'x', job.a: JSON can't hold such a value (set)"),
    ],
)
def test_a_wrong_python_file_tells_the_line(tmp_path: Path, text: str, told: str) -> None:
    name = written(tmp_path, text, "file.py")
    with pytest.raises(BadFile) as caught:
        read_file(name)
    assert str(caught.value) == name + told


@pytest.mark.parametrize("name", ["nowhere.yaml", "nowhere.py", "."])
def test_a_file_that_can_not_be_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadFile, match=r"No such file|Is a directory"):
        read_file(name)
