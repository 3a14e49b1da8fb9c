from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from horae.domain.errors import SettingsError
from horae.handlers.loader import load
from horae.handlers.registry import DEFAULT

BUILT_IN = {"echo", "fail", "http", "noop", "sleep"}
HANDLER = """\
from horae import handler, JobContext

@handler({name!r}, queue="mail")
def work(ctx: JobContext, *, n: int = 0):
    return n
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An own default registry, `sys.path`, module list and working directory."""
    monkeypatch.setattr(DEFAULT, "_handlers", {})
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(Path.cwd())])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_built_in_handlers_are_always_there() -> None:
    assert set(load([]).names()) == BUILT_IN
    assert load([]).queues() == ("default",)


def test_a_module_of_the_working_directory() -> None:
    write("shop_jobs.py", HANDLER.format(name="shop.work"))
    registry = load(["shop_jobs"])
    assert set(registry.names()) == BUILT_IN | {"shop.work"}
    assert registry.queues() == ("default", "mail")


def test_a_package_with_relative_imports() -> None:
    write("shop_a/__init__.py", "")
    write("shop_a/prices.py", "PRICE = 5\n")
    write("shop_a/jobs.py", HANDLER.format(name="a.work") + "from .prices import PRICE\n")
    assert "a.work" in load(["shop_a.jobs"]).names()


def test_a_file_with_a_sibling(tmp_path: Path) -> None:
    write("deep/shop_sibling.py", "NAME = 'file.work'\n")
    file = write("deep/jobs.py", "from shop_sibling import NAME\n" + HANDLER.replace("{name!r}", "NAME"))
    assert "file.work" in load([str(file)]).names()
    assert "file.work" in load(["deep/jobs.py"]).names()


def test_files_of_one_name_in_two_directories() -> None:
    write("one/jobs.py", HANDLER.format(name="one.work"))
    write("two/jobs.py", HANDLER.format(name="two.work"))
    assert {"one.work", "two.work"} <= set(load(["one/jobs.py", "two/jobs.py"]).names())


def test_a_file_that_is_also_imported_as_a_module() -> None:
    write("shop_both.py", HANDLER.format(name="both.work"))
    assert "both.work" in load(["shop_both.py", "shop_both"]).names()


def test_loading_twice_runs_a_file_once() -> None:
    write("counted.py", "from pathlib import Path\nwith Path('runs').open('a') as f: f.write('x')\n")
    load(["counted.py"])
    load(["counted.py"])
    assert Path("runs").read_text() == "x"


BROKEN = {
    "no_such_module": (None, r"ModuleNotFoundError: No module named 'no_such_module'"),
    "no_such.py": (None, r"FileNotFoundError: there is no file \S+/no_such.py"),
    "dir.py": ("", r"FileNotFoundError: there is no file"),
    "syntax.py": ("def f(:\n", r"SyntaxError: .*syntax.py, line 1"),
    "raises.py": ("\n\nraise RuntimeError('two\\nlines')\n", r"RuntimeError: two lines \(\S+/raises.py:3\)"),
    "exits.py": ("import sys\nsys.exit('bye')\n", r"SystemExit: bye \(\S+/exits.py:2\)"),
    "imports.py": ("import not_there_at_all\n", r"No module named 'not_there_at_all' \(\S+/imports.py:1\)"),
    "relative.py": ("from . import x\n", r"ImportError: attempted relative import"),
    "badname.py": (HANDLER.format(name="Bad"), r"ValueError: 'Bad' is not a handler name .*\(\S+/badname.py:\d\)"),
    "badsig.py": (
        "from horae import handler\n@handler('x')\ndef f(): ...\n",
        r"TypeError: handler 'x': its first parameter must be the context.* \(\S+/badsig.py:2\)",
    ),
    "twice.py": (HANDLER.format(name="t") + HANDLER.format(name="t"), r"ValueError: two functions are called 't'"),
    "": (None, r"ValueError: Empty module name"),
    ".jobs": (None, r"TypeError: "),
}


@pytest.mark.parametrize("spec", BROKEN)
def test_errors_are_one_line_that_names_setting_spec_and_reason(spec: str) -> None:
    text, reason = BROKEN[spec]
    if spec == "dir.py":
        Path(spec).mkdir()
    elif text is not None:
        write(spec, text)
    with pytest.raises(
        SettingsError, match=rf"^HORAE_HANDLERS: can't load {re.escape(repr(spec))}: .*{reason}"
    ) as caught:
        load([spec])
    assert "\n" not in str(caught.value)


def test_a_file_that_failed_is_tried_again() -> None:
    write("flaky.py", "raise RuntimeError\n")
    with pytest.raises(SettingsError):
        load(["flaky.py"])
    write("flaky.py", HANDLER.format(name="flaky.work") + "# longer now\n")
    assert "flaky.work" in load(["flaky.py"]).names()


def test_built_in_names_are_taken() -> None:
    write("greedy.py", HANDLER.format(name="http"))
    with pytest.raises(
        SettingsError, match=r"^HORAE_HANDLERS: two functions are called 'http': .*/http.py:\d+ .* and .*/greedy.py"
    ):
        load(["greedy.py"])


def test_http_allow_is_checked_at_start() -> None:
    with pytest.raises(SettingsError, match=r"^HORAE_HTTP_ALLOW: .+"):
        load([], ["no such host"])
