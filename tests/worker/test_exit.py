"""A process that was told to stop ends, whatever its handlers do."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from horae.domain.job import NewJob
from horae.runtime.clock import SystemClock
from tests.cli.processes import said, start
from tests.support.databases import opened, sqlite_copy
from tests.support.factories import job_id

HANDLERS = Path(__file__).with_name("unending.py")
SOON = 12.0
"""seconds: one lease for handlers to end, and a busy machine"""


async def serving(url: str, name: str) -> asyncio.subprocess.Process:
    """A process of all roles in which that handler runs."""
    process = await start(
        *("serve", "--handlers", str(HANDLERS), "--port", "0", "--drain-seconds", "0", "--lease-seconds", "1"),
        HORAE_DATABASE_URL=url,
        HORAE_LOG_LEVEL="error",
    )
    try:
        await said(process, "running")
    except BaseException:
        process.kill()
        raise
    return process


@pytest.mark.parametrize("name", ["unending.thread", "unending.deaf", "unending.executor"])
async def test_the_final_exit_waits_for_no_handler(migrated_file: Path, tmp_path: Path, name: str) -> None:
    url, clock = sqlite_copy(migrated_file, tmp_path), SystemClock()
    async with opened(url, clock) as stores:
        await stores.jobs.submit("default", [NewJob(job_id(clock), name)])
    process = await serving(url, name)
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(SOON):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
