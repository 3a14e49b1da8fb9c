"""Reads a file of schedules: Python if its name ends in .py, YAML otherwise, `-` for YAML from stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from horae.cli.schedules.applying.wanted import BadFile, Wanted, wanted

STDIN = "-"


def read_file(name: str) -> Wanted:
    """What the file says. Its source is the name that it gives itself, or else its own without the ending.

    Raises:
        BadFile: it can't be read; the message names the file and the line.
    """
    path = Path(name)
    if path.suffix == ".py":
        # Each format costs its import only where it is used.
        from horae.cli.schedules.applying.python_file import read_python  # noqa: PLC0415

        _text(path)
        return wanted(read_python(path), {}, name, path.stem)
    from horae.cli.schedules.applying.yaml_file import read_yaml  # noqa: PLC0415

    text, told, stem = (_stdin(), "stdin", None) if name == STDIN else (_text(path), name, path.stem)
    content, lines = read_yaml(text, told)
    return wanted(content, lines, told, stem)


def _stdin() -> bytes:
    return sys.stdin.buffer.read()


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error
