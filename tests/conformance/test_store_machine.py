"""Random lives of jobs over both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from horae.store.sql import Stores, open_stores
from tests.support.databases import empty, sqlite_copy
from tests.support.machine import StoreMachine

RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.mark.timeout(180)
def test_no_random_life_breaks_a_rule_on_sqlite(migrated_file: Path, tmp_path: Path) -> None:
    class OverSqlite(StoreMachine):
        async def open(self) -> Stores:
            return open_stores(sqlite_copy(migrated_file, tmp_path), self.clock)

    run_state_machine_as_test(OverSqlite, settings=settings(RELAXED, max_examples=60, stateful_step_count=50))


@pytest.mark.service
@pytest.mark.timeout(180)
def test_no_random_life_breaks_a_rule_on_mysql(migrated_mysql: str) -> None:
    class OverMySql(StoreMachine):
        async def open(self) -> Stores:
            stores = open_stores(migrated_mysql, self.clock, fixed_clock=True)
            await empty(stores)
            return stores

    run_state_machine_as_test(OverMySql, settings=settings(RELAXED, max_examples=15, stateful_step_count=40))
