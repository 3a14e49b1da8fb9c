"""What holds over all of the code: floors, one clock, small files and functions, one table of moves."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "app" / "horae"
FILES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FILE, LONGEST_FUNCTION = 400, 40
"""lines, the docstring of a function not counted"""

LONGER = {"store/base.py": 450}
"""the interface of the store: sentences, not code"""

TABLES = PACKAGE / "store" / "migrations" / "versions"
"""a table is as long as it has columns"""

ROLES = {"api", "scheduler", "worker", "dispatch", "handlers"}
REEXPORTING = {PACKAGE / "__init__.py", PACKAGE / "client" / "__init__.py", PACKAGE / "handlers" / "__init__.py"}


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


# ------------------------------------------------------------------------------------------------------------- floors


def test_imports_keep_to_their_floors() -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_every_role_is_under_the_contracts(contracts: list[dict[str, Any]]) -> None:
    """A contract over a list of modules holds only for those that are listed."""
    for contract in contracts:
        if contract["name"].startswith("No role"):
            assert set(contract["source_modules"]) == {f"horae.{role}" for role in ROLES}


def test_importing_the_package_loads_no_part_of_it() -> None:
    code = "import horae, sys; print([m for m in sys.modules if m.startswith('horae.')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_what_users_import_needs_no_server_library() -> None:
    code = (
        "from horae import Client, Discard, JobContext, Retry, SyncClient, handler; import sys;"
        "print({'sqlalchemy', 'aio_pika', 'redis', 'aiomysql', 'alembic'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py" and f not in REEXPORTING], ids=name)
def test_a_package_tells_its_reason_and_holds_no_code(file: Path) -> None:
    body = tree(file).body
    assert ast.get_docstring(tree(file))
    assert len(body) == 1


# ------------------------------------------------------------------------------------------------------------- clocks

CLOCKS = {
    ("time", "time"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
READS_CLOCKS = {"runtime/clock.py"}


def clock_reads(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if (owner, node.attr) in CLOCKS:
                yield f"{name(file)}:{node.lineno} {owner}.{node.attr}"


@pytest.mark.parametrize("file", [f for f in FILES if name(f) not in READS_CLOCKS], ids=name)
def test_nobody_but_the_clock_reads_a_clock(file: Path) -> None:
    assert list(clock_reads(file)) == []


def test_a_clock_read_would_be_found() -> None:
    assert len(list(clock_reads(PACKAGE / "runtime" / "clock.py"))) >= 2


# -------------------------------------------------------------------------------------------------------------- sizes


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Each function with its length, docstring and blank lines of it not counted."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node) else None
            docstring = (told.end_lineno or told.lineno) - told.lineno + 1 if told else 0
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


@pytest.mark.parametrize("file", FILES, ids=name)
def test_files_and_functions_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGER.get(name(file), LONGEST_FILE)
    assert (
        file.parent == TABLES or {found: length for found, length in functions(file) if length > LONGEST_FUNCTION} == {}
    )


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_error_is_passed_over_and_nothing_is_left_to_do(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    handlers = [node for node in ast.walk(tree(file)) if isinstance(node, ast.ExceptHandler)]
    silent = [handler.lineno for handler in handlers if all(isinstance(each, ast.Pass) for each in handler.body)]
    assert silent == []
    assert not {"TODO", "FIXME", "XXX"} & set(text.split())


# -------------------------------------------------------------------------------------------------------------- store

STORE = [file for file in FILES if "store" in file.parts]


@pytest.mark.parametrize("file", STORE, ids=name)
def test_no_statement_returns_rows_that_it_writes(file: Path) -> None:
    """MariaDB can, MySQL can't: it would be found out only there."""
    calls = [node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)]
    assert "returning" not in calls


def updates_of_jobs(file: Path) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node).startswith("sa.update(jobs)") and not node.keywords
        if ast.unparse(node) == "sa.update(jobs)"
    ]


def test_only_a_move_of_the_table_updates_a_job() -> None:
    """But for `recover`, which takes the carried retries of a process that is gone."""
    assert {name(file): len(updates_of_jobs(file)) for file in STORE if updates_of_jobs(file)} == {
        "store/moves.py": 1,
        "store/sql.py": 1,
    }
