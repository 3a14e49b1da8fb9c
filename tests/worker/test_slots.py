"""Slots: handed out in the order of asking, never more than there are, never lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.worker.slots import Slots
from tests.support.waiting import PATIENCE


def ask(slots: Slots, wanted: int, within: float = PATIENCE) -> asyncio.Task[int]:
    return asyncio.create_task(slots.take(wanted, within))


async def settle() -> None:
    """Lets every task run on until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_free_slots_are_taken_at_once_as_many_as_are_wanted_and_there() -> None:
    slots = Slots(5)
    assert [await slots.take(2, 0), await slots.take(10, 0)] == [2, 3]
    assert slots.free == 0


async def test_with_none_free_it_waits_for_the_first_and_takes_what_is_there_by_then() -> None:
    slots = Slots(3)
    await slots.take(3, 0)
    waiting = ask(slots, 3)
    await settle()
    assert not waiting.done()
    slots.give_back(2)
    assert await waiting == 2


@pytest.mark.parametrize("within", [0.0, 0.01])
async def test_with_none_free_in_time_it_gets_none(within: float) -> None:
    slots = Slots(1)
    await slots.take(1, 0)
    assert await slots.take(1, within) == 0
    slots.give_back()
    assert slots.free == 1


async def test_who_came_first_is_served_first_however_much_it_wants() -> None:
    slots = Slots(4)
    await slots.take(4, 0)
    large, small = ask(slots, 3), ask(slots, 1)
    await settle()
    slots.give_back(2)
    assert await large == 2
    assert not small.done()
    slots.give_back(1)
    assert await small == 1


async def test_nobody_overtakes_who_waits() -> None:
    slots = Slots(1)
    await slots.take(1, 0)
    first = ask(slots, 1)
    await settle()
    slots.give_back()
    assert await slots.take(1, 0) == 0
    assert await first == 1


async def test_what_one_leaves_is_the_next_ones() -> None:
    slots = Slots(5)
    await slots.take(5, 0)
    waiting = [ask(slots, wanted) for wanted in (1, 2, 9)]
    await settle()
    slots.give_back(5)
    assert await asyncio.gather(*waiting) == [1, 2, 2]


async def test_who_gives_up_waiting_stands_in_nobodys_way() -> None:
    slots = Slots(1)
    await slots.take(1, 0)
    first, second = ask(slots, 1), ask(slots, 1)
    await settle()
    first.cancel()
    await settle()
    slots.give_back()
    assert await second == 1


@pytest.mark.parametrize("gives_up_first", [True, False])
async def test_a_turn_that_comes_in_the_moment_of_giving_up_goes_to_the_next(gives_up_first: bool) -> None:
    slots = Slots(1)
    await slots.take(1, 0)
    first, second = ask(slots, 1), ask(slots, 1)
    await settle()
    for act in (first.cancel, slots.give_back) if gives_up_first else (slots.give_back, first.cancel):
        act()
    assert await second == 1
    assert first.cancelled()


Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("give back"), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("let run"), st.just(0)),
    ),
    max_size=60,
)


@given(total=st.integers(1, 6), steps=steps)
@settings(max_examples=150, deadline=None)
def test_in_whatever_order_things_happen_no_slot_is_lost_or_doubled(total: int, steps: list[Step]) -> None:
    asyncio.run(interleave(total, steps))


async def interleave(total: int, steps: list[Step]) -> None:
    slots = Slots(total)
    asked: list[asyncio.Task[int]] = []
    given_back = 0

    def taken() -> int:
        return sum(task.result() for task in asked if task.done() and not task.cancelled())

    for kind, number in steps:
        if kind == "take":
            asked.append(ask(slots, number))
        elif kind == "cancel" and asked:
            asked[number % len(asked)].cancel()
        elif kind == "give back":
            count = min(number, taken() - given_back)
            given_back += count
            slots.give_back(count)
        await settle() if kind == "let run" else None
        assert 0 <= slots.free <= total
    await settle()
    assert slots.free == total - taken() + given_back
    waiting = [task for task in asked if not task.done()]
    assert not (slots.free and waiting)
    await drain(slots, asked, given_back)


async def drain(slots: Slots, asked: list[asyncio.Task[int]], given_back: int) -> None:
    """Gives everything back; everyone who still waits is served, first come first."""
    order: list[int] = []
    for number, task in enumerate(asked):
        if not task.done():
            task.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
    taken = Counter(task.result() for task in asked if task.done() and not task.cancelled())
    slots.give_back(sum(size * count for size, count in taken.items()) - given_back)
    for task in [task for task in asked if not task.done()]:
        slots.give_back(await task)
    assert order == sorted(order)
    assert slots.free == slots.total
