"""Job ids: valid UUIDs of version 7 whose order is that of their making, whatever the clock does."""

from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.ids import IdMaker, format_uuid7, is_id

moments = st.integers(0, 2**48 - 1)
"""milliseconds since the epoch, as far as 48 bits go (the year 10889)"""


@given(st.lists(moments, min_size=2, max_size=50))
def test_ids_rise_strictly_though_the_clock_goes_back(clock: list[int]) -> None:
    maker = IdMaker()
    made = [maker.next(moment) for moment in clock]
    assert made == sorted(set(made))


@given(moments)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(moment: int) -> None:
    made = UUID(IdMaker().next(moment))
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == moment


def test_ids_of_one_millisecond_rise_and_keep_its_time() -> None:
    maker = IdMaker()
    made = [maker.next(1_700_000_000_000) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {UUID(each).int >> 80 for each in made} == {1_700_000_000_000}


def test_two_makers_do_not_make_the_same_ids() -> None:
    one, other = IdMaker(), IdMaker()
    made = [maker.next(1) for maker in (one, other) for _ in range(1000)]
    assert len(set(made)) == 2000


@given(st.integers(0, 2**122 - 1), st.integers(0, 2**122 - 1))
def test_the_text_is_ordered_as_the_number(one: int, other: int) -> None:
    assert (format_uuid7(one) < format_uuid7(other)) is (one < other)


@given(moments)
def test_every_id_is_an_id(moment: int) -> None:
    assert is_id(IdMaker().next(moment))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0190a8a0-0000-7000-8000-00000000000",
        "0190A8A0-0000-7000-8000-000000000000",
        "0190a8a0000070008000000000000000",
        "{0190a8a0-0000-7000-8000-000000000000}",
        "urn:uuid:0190a8a0-0000-7000-8000-000000000000",
        " 0190a8a0-0000-7000-8000-000000000000",
        "0190a8a0-0000-7000-8000-00000000000g",
        "٠190a8a0-0000-7000-8000-000000000000",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    assert not is_id(text)
