"""A Python file with a module-level list `schedules`, and a name `source` if it likes."""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from horae.cli.schedules.applying.wanted import BadFile


def read_python(path: Path) -> dict[str, Any]:
    """What it holds after it has run, with its own directory in front of the path, as for a script.

    Raises:
        BadFile: it raises, or has no such list.
    """
    directory = str(path.resolve().parent)
    sys.path.insert(0, directory)
    try:
        names = runpy.run_path(str(path), run_name="horae_schedules")
    except (Exception, SystemExit) as error:
        raise BadFile(f"{path}{_line(error, path)}: {_reason(error)}") from error
    finally:
        sys.path.remove(directory)
    if "schedules" not in names:
        raise BadFile(f"{path}: has no list named schedules")
    return {name: names[name] for name in ("source", "schedules") if name in names}


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _reason(error: BaseException) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
