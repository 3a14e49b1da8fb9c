"""A YAML file, with the line of each of its parts."""

from __future__ import annotations

import re
from typing import Any

import yaml

from horae.cli.schedules.applying.wanted import BadFile, Lines

_DEEPEST = 8
_UNQUOTED = re.compile(r":\s+[*@]")


def read_yaml(text: bytes, file: str) -> tuple[Any, Lines]:
    """The content and its lines.

    Raises:
        BadFile: it isn't YAML, or one mapping has a key twice.
    """
    try:
        return _loaded(yaml.SafeLoader(text), file)
    except yaml.MarkedYAMLError as error:
        raise BadFile(_told(error, text, file)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadFile(f"{file}: not YAML: {' '.join(str(error).split())}") from error


def _loaded(loader: yaml.SafeLoader, file: str) -> tuple[Any, Lines]:
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        # Before construction, which writes merged keys into the node.
        lines = _lines(node, file)
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _lines(node: yaml.Node, file: str) -> dict[str, int]:
    found: dict[str, int] = {}
    _walk(node, file, "", 0, found)
    return found


def _walk(node: yaml.Node, file: str, path: str, depth: int, found: dict[str, int]) -> None:
    found.setdefault(path, node.start_mark.line + 1)
    # An alias may lead back to what it stands in.
    if depth == _DEEPEST:
        return
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, file, _under(path, str(number)), depth + 1, found)
    elif isinstance(node, yaml.MappingNode):
        _check_keys(node, file)
        for key, value in node.value:
            inner = _under(path, str(key.value))
            found[inner] = key.start_mark.line + 1
            _walk(value, file, inner, depth + 1, found)


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _check_keys(node: yaml.MappingNode, file: str) -> None:
    """YAML forbids a key twice, and PyYAML takes the last one without a word."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in seen:
            raise BadFile(f"{file}:{line}: {key.value!r} stands there twice, first in line {seen[key.value]}")
        seen[key.value] = line


def _told(error: yaml.MarkedYAMLError, text: bytes, file: str) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{file}: not YAML: {error.problem}"
    shown = text.decode(errors="replace").splitlines()
    line = shown[mark.line] if mark.line < len(shown) else ""
    hint = ": an expression that begins with * or @ needs quotes" if _UNQUOTED.search(line) else ""
    return f"{file}:{mark.line + 1}: not YAML: {error.problem or error.context}{hint}"
