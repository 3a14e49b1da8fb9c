from __future__ import annotations

import pytest

from horae.api.paging import cursor_after, page_of, position_of
from horae.domain.errors import InvalidInput

NAMES = [f"q{number:03}" for number in range(120)]


def test_a_cursor_leads_back_to_its_position() -> None:
    assert position_of(cursor_after("job-7", "jobs", "default"), "jobs", "default") == "job-7"


@pytest.mark.parametrize("scope", [("jobs", "other"), ("queues", "default"), ("jobs",), ("jobs", "default", None)])
def test_a_cursor_of_another_list_is_refused(scope: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        position_of(cursor_after("job-7", "jobs", "default"), *scope)
    assert refusal.value.errors[0].field == "cursor"


@pytest.mark.parametrize("cursor", ["", "x", "====", "é", "AAAA", "A" * 600, "%00", "'; DROP TABLE jobs"])
def test_a_cursor_from_nowhere_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        position_of(cursor, "jobs")


def test_a_changed_cursor_is_refused() -> None:
    cursor = cursor_after("job-7", "jobs")
    with pytest.raises(InvalidInput):
        position_of("B" + cursor[1:], "jobs")


@pytest.mark.parametrize("limit", [1, 7, 60, 119, 120, 200])
def test_pages_of_names_hold_each_name_once(limit: int) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = page_of(NAMES, str, limit, cursor, "queues")
        seen += page
        if cursor is None:
            break
    assert seen == NAMES
