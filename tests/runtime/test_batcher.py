from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.runtime.batcher import Batcher
from tests.support.waiting import eventually


class Journal:
    """Writes batches by hand: each waits until it is released; its results are the items doubled."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._gates: list[asyncio.Future[None]] = []

    async def write(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        gate = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        await gate
        return [2 * item for item in items]

    async def begun(self, count: int) -> None:
        await eventually(lambda: len(self.batches) >= count)

    def release(self, index: int = -1) -> None:
        self._gates[index].set_result(None)

    def fail(self, error: BaseException, index: int = -1) -> None:
        self._gates[index].set_exception(error)


async def at_once(items: list[int]) -> list[int]:
    return [2 * item for item in items]


def put_each(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.put(item)) for item in items]


async def test_one_item_is_written_at_once_and_gets_its_result() -> None:
    assert await Batcher(at_once, 10).put(21) == 42


async def test_what_is_ready_in_the_same_round_of_the_loop_goes_together() -> None:
    journal = Journal()
    puts = put_each(Batcher(journal.write, 10), 1, 2, 3)
    await journal.begun(1)
    journal.release()
    assert await asyncio.gather(*puts) == [2, 4, 6]
    assert journal.batches == [[1, 2, 3]]


async def test_who_is_ready_only_a_round_later_still_gets_on_board() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 10)

    async def later() -> int:
        await asyncio.sleep(0)
        return await batcher.put(2)

    puts = [*put_each(batcher, 1), asyncio.create_task(later())]
    await journal.begun(1)
    journal.release()
    assert await asyncio.gather(*puts) == [2, 4]
    assert journal.batches == [[1, 2]]


async def test_what_comes_during_a_write_is_the_next_batch() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 10)
    puts = put_each(batcher, 1)
    await journal.begun(1)
    puts += put_each(batcher, 2, 3)
    await asyncio.sleep(0)
    puts += put_each(batcher, 4)
    await asyncio.sleep(0)
    assert journal.batches == [[1]]
    journal.release()
    await journal.begun(2)
    journal.release()
    assert await asyncio.gather(*puts) == [2, 4, 6, 8]
    assert journal.batches == [[1], [2, 3, 4]]


async def test_no_batch_is_larger_than_the_limit() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 3)
    many = asyncio.create_task(batcher.put_many(list(range(8))))
    for count in (1, 2, 3):
        await journal.begun(count)
        journal.release()
    assert await many == [2 * item for item in range(8)]
    assert journal.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_put_many_of_nothing_writes_nothing() -> None:
    journal = Journal()
    assert await Batcher(journal.write, 3).put_many([]) == []
    assert journal.batches == []


async def test_an_error_reaches_everyone_of_its_batch_and_nobody_else() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 2)
    puts = put_each(batcher, 1, 2, 3)
    await journal.begun(1)
    journal.fail(OSError("disk full"))
    await journal.begun(2)
    journal.release()
    first, second, third = await asyncio.gather(*puts, return_exceptions=True)
    assert isinstance(first, OSError)
    assert isinstance(second, OSError)
    assert third == 6
    assert await Batcher(at_once, 2).put(1) == 2


async def test_put_many_raises_the_error_of_any_of_its_batches() -> None:
    journal = Journal()
    many = asyncio.create_task(Batcher(journal.write, 2).put_many([1, 2, 3]))
    await journal.begun(1)
    journal.release()
    await journal.begun(2)
    journal.fail(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        await many


async def test_results_that_are_too_few_are_an_error_and_nobody_waits_for_ever() -> None:
    async def short(items: list[int]) -> list[int]:
        return items[1:]

    puts = put_each(Batcher(short, 10), 1, 2)
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a write of 2 items answered 1 results"] * 2


async def test_one_who_is_cancelled_is_written_all_the_same_and_disturbs_nobody() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 10)
    writing = put_each(batcher, 1, 2)
    await journal.begun(1)
    waiting = put_each(batcher, 3, 4)
    await asyncio.sleep(0)
    writing[0].cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    journal.release()
    await journal.begun(2)
    journal.release()
    assert await writing[1] == 4
    assert await waiting[1] == 8
    assert writing[0].cancelled()
    assert waiting[0].cancelled()
    assert journal.batches == [[1, 2], [3, 4]]


@pytest.mark.parametrize("error", [OSError("disk full"), asyncio.CancelledError()])
async def test_a_failed_write_leaves_the_batcher_usable(error: BaseException) -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 10)
    put = put_each(batcher, 1)[0]
    await journal.begun(1)
    journal.fail(error)
    with pytest.raises((OSError, RuntimeError)):
        await put
    again = put_each(batcher, 2)[0]
    await journal.begun(2)
    journal.release()
    assert await again == 4


async def test_a_writer_that_is_cancelled_tells_all_who_wait_and_cancels_none_of_them() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 1)
    puts = put_each(batcher, 1, 2)
    await journal.begun(1)
    for writer in batcher._writers:
        writer.cancel()
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["the write was cancelled"] * 2
    assert journal.batches == [[1]]


async def test_an_item_put_the_moment_the_writer_ends_is_not_left_behind() -> None:
    batcher = Batcher(at_once, 1)

    async def chain(length: int) -> int:
        return sum([await batcher.put(item) for item in range(length)])

    async with asyncio.timeout(5):
        assert [*await asyncio.gather(chain(50), chain(49), chain(50))] == [2450, 2352, 2450]


async def test_close_waits_for_all_that_was_put_and_takes_nothing_more() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 1)
    puts = put_each(batcher, 1, 2)
    await journal.begun(1)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        await batcher.put(3)
    journal.release()
    await journal.begun(2)
    assert not closing.done()
    journal.release()
    await closing
    assert [put.result() for put in puts] == [2, 4]


async def test_close_without_anything_to_write_returns() -> None:
    await Batcher(at_once, 1).close()


async def test_as_many_writes_as_allowed_are_under_way_at_once() -> None:
    journal = Journal()
    batcher = Batcher(journal.write, 2, parallel=2)
    puts = put_each(batcher, *range(7))
    await journal.begun(2)
    await asyncio.sleep(0)
    assert journal.batches == [[0, 1], [2, 3]]
    journal.release(1)
    await journal.begun(3)
    assert journal.batches[2] == [4, 5]
    journal.release(0)
    await journal.begun(4)
    journal.release(2)
    journal.release(3)
    assert await asyncio.gather(*puts) == [2 * item for item in range(7)]


class Failure(Exception):
    """Of one write."""


class Put(NamedTuple):
    """One step of a plan; times are rounds of the loop."""

    after: int
    size: int
    cancelled_after: int | None


class World:
    """Plays a plan against a batcher whose writes take some rounds and may fail, and keeps what happened."""

    def __init__(self, rounds: list[int], failing: set[int]) -> None:
        self._rounds, self._failing = rounds, failing
        self.put: list[int] = []
        self.written: list[list[int]] = []
        self.most_at_once = self._at_once = 0
        self._tasks: list[tuple[list[int], asyncio.Task[list[int]]]] = []

    async def write(self, items: list[int]) -> list[int]:
        number = len(self.written)
        self.written.append(items)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await rounds_of_the_loop(self._rounds[number % len(self._rounds)])
        self._at_once -= 1
        if number in self._failing:
            raise Failure
        return [item + 1000 for item in items]

    async def play(self, plan: list[Put], limit: int, parallel: int) -> None:
        batcher = Batcher(self.write, limit, parallel=parallel)
        for step in plan:
            await rounds_of_the_loop(step.after)
            items = list(range(len(self.put), len(self.put) + step.size))
            self.put += items
            task = asyncio.create_task(self._put(batcher, items))
            self._tasks.append((items, task))
            await asyncio.sleep(0)
            if step.cancelled_after is not None:
                await rounds_of_the_loop(step.cancelled_after)
                task.cancel()
        await batcher.close()
        await asyncio.gather(*(task for _, task in self._tasks), return_exceptions=True)

    async def _put(self, batcher: Batcher[int, int], items: list[int]) -> list[int]:
        return await batcher.put_many(items) if len(items) > 1 else [await batcher.put(items[0])]

    def check_answers(self) -> None:
        lost = {item for number in self._failing if number < len(self.written) for item in self.written[number]}
        for items, task in self._tasks:
            if task.cancelled():
                continue
            if lost.isdisjoint(items):
                assert task.result() == [item + 1000 for item in items]
            else:
                assert isinstance(task.exception(), Failure)


async def rounds_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@settings(deadline=None, max_examples=100)
@given(
    plan=st.lists(
        st.builds(Put, st.integers(0, 4), st.integers(1, 5), st.none() | st.integers(0, 6)), min_size=1, max_size=20
    ),
    limit=st.integers(1, 6),
    parallel=st.integers(1, 3),
    rounds=st.lists(st.integers(0, 5), min_size=1, max_size=10),
    failing=st.sets(st.integers(0, 30), max_size=5),
)
def test_whatever_the_interleaving_each_item_is_written_once_in_order_and_answered(
    plan: list[Put], limit: int, parallel: int, rounds: list[int], failing: set[int]
) -> None:
    world = World(rounds, failing)
    with asyncio.Runner() as runner:
        runner.run(asyncio.wait_for(world.play(plan, limit, parallel), 20))
    assert [item for batch in world.written for item in batch] == world.put
    assert all(1 <= len(batch) <= limit for batch in world.written)
    assert world.most_at_once <= parallel
    world.check_answers()
