"""How commands end."""

from __future__ import annotations

from typing import IO, Any

import click

REFUSED = 1
WRONG_SETTING = 2
NO_CONNECTION = 3
INTERRUPTED = 130


class Interrupted(click.ClickException):
    """Ctrl-C; the message says what goes on all the same."""

    exit_code = INTERRUPTED

    def show(self, file: IO[Any] | None = None) -> None:
        """To stderr, unless said otherwise."""
        if self.message:
            click.echo(self.message, file=file, err=file is None)
