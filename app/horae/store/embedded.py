"""The embedded default: one process owns the database file, and takes up at its start what an earlier one left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from horae.domain.errors import SettingsError


@contextmanager
def owned(url: str) -> Iterator[None]:
    """Holds the lock beside the database file. The kernel frees it however the process ends.

    Raises:
        SettingsError: another process holds it, or the directory can't be written.
    """
    path = Path(make_url(url).database or "horae.db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = Path(f"{path}.lock").open("a+", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise SettingsError(f"HORAE_DATABASE_URL: can't write beside {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise SettingsError(f"HORAE_DATABASE_URL: {path} is in use by {holder}; stop it first") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
