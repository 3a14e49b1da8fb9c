"""Loads users' handlers as `HORAE_HANDLERS` names them, beside the built-in ones.

A module is imported with the working directory on `sys.path`, a `.py` file under a name of its own with its directory
there, both in front, as Python does for `-m` and for a script; so what they import lazily is found at run time too.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from horae.domain.errors import SettingsError
from horae.handlers.builtin.basic import BASIC
from horae.handlers.builtin.http import add_http
from horae.handlers.registry import DEFAULT, Registry


def load(specs: Sequence[str], http_allow: Sequence[str] = ()) -> Registry:
    """The built-in handlers and those of the named modules and `.py` files.

    The decorator keeps one list for the whole process: a handler that any import has put there is part of the answer.

    Raises:
        SettingsError: one line that names the setting, what couldn't be loaded, and why.
    """
    registry = built_in(http_allow)
    for spec in specs:
        _load_one(spec)
    try:
        registry.include(DEFAULT)
    except ValueError as error:
        raise SettingsError(f"HORAE_HANDLERS: {error}") from None
    return registry


def built_in(http_allow: Sequence[str] = ()) -> Registry:
    """The built-in handlers alone."""
    registry = Registry()
    registry.include(BASIC)
    add_http(registry, http_allow)
    return registry


def _load_one(spec: str) -> None:
    try:
        if spec.endswith(".py"):
            _load_file(Path(spec).resolve())
        else:
            _on_path(Path.cwd())
            import_module(spec)
    except (Exception, SystemExit) as error:
        raise SettingsError(f"HORAE_HANDLERS: can't load {spec!r}: {_reason(error)}") from error


def _load_file(path: Path) -> None:
    name = f"horae_handlers_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise FileNotFoundError(f"there is no file {path}")
    _on_path(path.parent)
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _reason(error: BaseException) -> str:
    """Kind, message and the innermost line of the user's own code, in one line."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_ours(each.filename)]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _is_ours(filename: str) -> bool:
    return filename.startswith(("<frozen", str(_HERE))) or "importlib" in filename


_HERE = Path(__file__).resolve().parent
