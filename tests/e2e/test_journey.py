"""The main job, through three processes: submitted over HTTP, claimed, delivered, run, retried, finished."""

from __future__ import annotations

import pytest

from horae.client import Backoff, State
from tests.e2e.support.installation import Installation

pytestmark = pytest.mark.service


async def test_ten_thousand(site: Installation) -> None:
    for role in ("api", "scheduler", "worker"):
        await site.launch(role)
    for role in site.roles:
        await role.ready()
    await site.submit(10_000, "noop")
    await site.all_are(State.SUCCESS, 10_000, 40)
