"""A worker with one isolated attempt, to be killed: `python -m tests.worker.lonely HANDLERS`. It prints progress."""

from __future__ import annotations

import asyncio
import sys

from horae.worker.isolation import Isolation
from tests.worker.runs import new_run


class Printed:
    """A reporter."""

    async def progress(self, _value: float, message: str) -> None:
        sys.stdout.write(f"{message}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Isolation([sys.argv[1]]).run(new_run("own.waits"), Printed()))
