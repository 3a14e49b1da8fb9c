"""Several schedulers and workers over one backlog: no job is started twice."""

from __future__ import annotations

import pytest

from horae.client import State
from tests.e2e.support.installation import Installation, once

pytestmark = pytest.mark.service

COUNT = 5_000


async def test_each_of_many_jobs_is_started_once(site: Installation) -> None:
    await site.serve_all("api", "scheduler", "scheduler", "worker", "worker")
    ids = await site.submit(COUNT, "witness")
    await site.become({State.SUCCESS: COUNT}, 45)
    assert site.runs(ids) == site.runs(ids, "end") == once(ids)
    assert site.outcomes() == {}
    assert len(set(site.column("worker_id"))) == 2
