"""`horae`, and `python -m horae`."""

from __future__ import annotations

from horae.cli.main import cli


def main() -> None:
    """The entry point of the command line."""
    cli(prog_name="horae")


if __name__ == "__main__":
    main()
