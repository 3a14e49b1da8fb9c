"""How much of which lane is given to the broker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.dispatch.window import (
    EVERY,
    LARGEST_DELIVERY,
    SPREAD,
    Portion,
    deal,
    delivery_size,
    plan,
    room,
    shares_of_oldest,
    window,
)
from horae.domain.job import Lane, Priority
from horae.store.base import EVERY_QUEUE, Capacity, DueLane, Survey
from tests.dispatch.lanes import due, lane, shares, worker

CRITICAL, HIGH, NORMAL, LOW = Priority

# ---------------------------------------------------------------------------------------------------------- strategies

names = st.sampled_from(["a", "b", "c", "d", "e"])
queues = st.sampled_from(["default", "mail", "video"])
rooms = st.integers(0, 1000)
due_lanes = st.lists(
    st.builds(due, names, st.sampled_from(Priority), st.floats(0, 1e6)), min_size=1, unique_by=lambda one: one.lane
)


def serving(names: set[str], free: int, more: int, rate: float) -> Capacity:
    return worker(*names, free=free, slots=free + more, rates=dict.fromkeys(names, rate))


capacities = st.builds(
    serving, st.sets(queues, min_size=1), st.integers(0, 100), st.integers(0, 100), st.floats(0, 5000)
)


# -------------------------------------------------------------------------------------------------------------- target


@pytest.mark.parametrize(
    ("workers", "queues", "targets"),
    [
        pytest.param([], ["default"], {}, id="0 without a live worker"),
        pytest.param([worker("mail")], ["default"], {}, id="0 without a live worker of that queue"),
        pytest.param([worker(free=7)], ["default"], {"default": 7}, id="the free slots"),
        pytest.param([worker(free=7), worker(free=5)], ["default"], {"default": 12}, id="of all its workers"),
        pytest.param(
            [worker("default", "mail", free=7)], ["default"], {"default": 7}, id="an idle queue takes no share"
        ),
        pytest.param(
            [worker("default", "mail", free=7)], ["default", "mail"], {"default": 4, "mail": 4}, id="shared, rounded up"
        ),
        pytest.param(
            [worker("default", "mail", free=6), worker("mail", free=10)],
            ["default", "mail"],
            {"default": 3, "mail": 13},
            id="each worker shares what is its own",
        ),
        pytest.param(
            [worker(free=0, slots=10, rates={"default": 2000.0})],
            ["default"],
            {"default": 2000},
            id="what it starts in a second",
        ),
        pytest.param(
            [worker(free=3, rates={"default": 1.4, "mail": 9.0})], ["default"], {"default": 5}, id="of that queue"
        ),
        pytest.param([worker(free=0, slots=10)], ["default"], {"default": 0}, id="all slots taken by long jobs"),
        pytest.param(
            [worker(EVERY_QUEUE, free=8)], ["default", "mail"], {"default": 4, "mail": 4}, id="a worker of every queue"
        ),
    ],
)
def test_the_target_of_a_queue(workers: list[Capacity], queues: list[str], targets: Mapping[str, int]) -> None:
    assert window(workers, queues) == targets


@given(st.lists(capacities, max_size=5), st.sets(queues))
def test_targets_share_the_free_slots_and_add_the_rates(workers: list[Capacity], due_queues: set[str]) -> None:
    targets = window(workers, due_queues)
    useful = [each for each in workers if each.queues & due_queues]
    total = sum(each.free + sum(each.rates[queue] for queue in each.queues & due_queues) for each in useful)
    assert targets.keys() == {queue for each in useful for queue in each.queues & due_queues}
    assert total - 0.001 <= sum(targets.values()) <= total + len(targets) + 0.001


@pytest.mark.parametrize(
    ("target", "queued", "expected"),
    [
        (100, 0, 100),
        (100, 75, 25),
        (100, 76, 0),
        (100, 100, 0),
        (100, 500, 0),
        (3, 2, 1),
        (4, 3, 1),
        (5, 4, 0),
        (1, 0, 1),
        (1, 1, 0),
        (0, 0, 0),
        (0, 3, 0),
    ],
)
def test_room_is_dealt_again_when_a_quarter_of_the_window_is_free(target: int, queued: int, expected: int) -> None:
    assert room(target, queued) == expected


# ---------------------------------------------------------------------------------------------------------------- deal


def test_namespaces_get_equal_shares_and_the_eighths_go_to_the_lane_that_waited_longest() -> None:
    lanes = [due("a", waited=1), due("b", waited=9), due("c", waited=5)]
    assert shares(deal(lanes, 24, 0)) == [("a", 7), ("b", 7), ("c", 7), ("b", 3)]


def test_within_a_namespace_the_critical_lane_comes_first() -> None:
    lanes = [due("a", LOW), due("a", NORMAL), due("b", HIGH), due("a", CRITICAL), due("b", LOW)]
    first, second = deal(lanes, 7, 0)
    assert first.lanes == (lane("a", CRITICAL), lane("a", NORMAL), lane("a", LOW))
    assert second.lanes == (lane("b", HIGH), lane("b", LOW))


def test_the_eighth_share_is_for_whoever_has_waited_even_if_others_are_critical() -> None:
    lanes = [due("a", CRITICAL, waited=10), due("b", LOW, waited=20), due("a", NORMAL, waited=30)]
    oldest = deal(lanes, 8, 0)[-1]
    assert oldest == Portion((lane("a", NORMAL), lane("b", LOW), lane("a", CRITICAL)), 1)


@given(due_lanes, rooms, st.integers(0, 10_000))
def test_portions_sum_up_to_the_room_and_hold_lanes_of_the_queue_only(
    lanes: list[DueLane], room: int, dealt: int
) -> None:
    portions = deal(lanes, room, dealt)
    assert sum(portion.count for portion in portions) == room
    assert all(portion.count > 0 for portion in portions)
    assert {one for portion in portions for one in portion.lanes} <= {one.lane for one in lanes}


@given(due_lanes, rooms, st.integers(0, 10_000))
def test_no_two_namespaces_differ_by_more_than_one_share(lanes: list[DueLane], room: int, dealt: int) -> None:
    turns = deal(lanes, room, dealt)[: -1 if shares_of_oldest(room, dealt) else None]
    got = [0] * (len({one.lane.namespace for one in lanes}) - len(turns)) + [portion.count for portion in turns]
    assert max(got) - min(got) <= 1


@given(st.lists(st.integers(1, 30), max_size=50))
def test_whatever_the_rooms_every_eighth_share_of_all_is_the_oldest_lanes(rooms: list[int]) -> None:
    dealt = oldest = 0
    for size in rooms:
        oldest += shares_of_oldest(size, dealt)
        dealt += size
    assert oldest == dealt // EVERY


# ----------------------------------------------------------------------------------------------------- over many rounds


def dealt_over(lanes: Sequence[DueLane], rooms: Sequence[int]) -> Counter[Lane]:
    """How many shares each lane gets when all of them have more jobs than ever are dealt."""
    got: Counter[Lane] = Counter()
    dealt = 0
    for size in rooms:
        for portion in deal(lanes, size, dealt):
            got[portion.lanes[0]] += portion.count
        dealt += size
    return got


@pytest.mark.parametrize("room", [1, 2, 3, 5, 7, 8, 9, 64])
@pytest.mark.parametrize("others", [1, 2, 3, 7, 8])
def test_rounds_of_any_room_serve_all_namespaces_alike(room: int, others: int) -> None:
    lanes = [due(f"n{number}") for number in range(others)] + [due("old", waited=1)]
    rounds = 8 * EVERY * (others + 1)
    got = dealt_over(lanes, [room] * rounds)
    total = room * rounds
    in_turn = (total - total // EVERY) / (others + 1)
    for number in range(others):
        assert abs(got[lane(f"n{number}")] - in_turn) <= 1
    assert abs(got[lane("old")] - in_turn - total // EVERY) <= 1


@given(st.lists(st.integers(1, 9), min_size=200, max_size=200), st.integers(2, 6))
def test_rooms_of_any_pattern_keep_namespaces_even(rooms: list[int], count: int) -> None:
    namespaces = [due(f"n{number}") for number in range(count)]
    turns: Counter[str] = Counter()
    dealt = 0
    for size in rooms:
        portions = deal(namespaces, size, dealt)
        for portion in portions[: -1 if shares_of_oldest(size, dealt) else None]:
            turns[portion.lanes[0].namespace] += portion.count
        dealt += size
    assert max(turns.values()) - min(turns.values()) <= 1


class Backlog:
    """Lanes that never run dry; each serves its oldest job first, and jobs arrive at its own pace."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.served: dict[Lane, list[int]] = {one: [] for one in lanes}
        self._oldest = dict.fromkeys(lanes, 0)
        self._now = 0

    def due(self) -> list[DueLane]:
        return [DueLane(one, self._now - arrived) for one, arrived in self._oldest.items()]

    def round(self, room: int, dealt: int) -> None:
        """One round of the feed; a served lane's next job arrived one round later than the one that it served."""
        for portion in deal(self.due(), room, dealt):
            served = portion.lanes[0]
            self.served[served] += [self._now] * portion.count
            self._oldest[served] = min(self._now, self._oldest[served] + portion.count)
        self._now += 1


@pytest.mark.parametrize("room", [1, 2, 3, 11])
def test_no_lane_starves_below_a_flood_of_critical_jobs(room: int) -> None:
    flood = [lane("a", CRITICAL), lane("b", CRITICAL)]
    weak = [lane("a", LOW), lane("b", HIGH), lane("b", LOW)]
    backlog = Backlog(flood + weak)
    rounds = 600
    for number in range(rounds):
        backlog.round(room, number * room)
    longest = math.ceil(EVERY * (len(flood) + len(weak)) / room) + 1
    for one in weak:
        moments = [0, *backlog.served[one], rounds]
        assert max(later - earlier for earlier, later in pairwise(moments)) <= longest


# ---------------------------------------------------------------------------------------------------------------- plan


def test_queues_do_not_share_a_room_and_one_without_workers_is_left_alone() -> None:
    survey = Survey(
        lanes=[due(), due(queue="mail"), due(queue="video")],
        workers=[worker("default", free=4), worker("mail", free=2)],
        queued={"default": 1, "video": 50},
    )
    todo = plan(survey, {})
    assert Counter({portion.queue: portion.count for portion in todo.portions}) == {"default": 3, "mail": 2}
    assert todo.full == frozenset()


def test_a_queue_without_room_is_full_and_one_without_due_jobs_is_not_mentioned() -> None:
    survey = Survey(lanes=[due()], workers=[worker("default", "mail", free=4)], queued={"default": 4})
    assert plan(survey, {}) == plan(survey, {"default": 99})
    assert plan(survey, {}).full == {"default"}
    assert plan(survey, {}).portions == ()


def test_each_queue_goes_on_where_it_stopped() -> None:
    survey = Survey(
        lanes=[due("a"), due("b"), due("a", queue="mail"), due("b", queue="mail")],
        workers=[worker("default", free=1), worker("mail", free=1)],
    )
    todo = plan(survey, {"default": 1, "mail": 2})
    assert [(portion.queue, portion.lanes[0].namespace) for portion in todo.portions] == [
        ("default", "b"),
        ("mail", "a"),
    ]


@given(
    st.lists(st.builds(due, names, st.sampled_from(Priority), st.floats(0, 1e6), queues), unique_by=lambda o: o.lane),
    st.lists(capacities, max_size=4),
    st.dictionaries(queues, st.integers(0, 500)),
    st.dictionaries(queues, st.integers(0, 500)),
)
def test_a_plan_never_exceeds_the_window_of_any_queue(
    lanes: list[DueLane], workers: list[Capacity], queued: dict[str, int], dealt: dict[str, int]
) -> None:
    todo = plan(Survey(lanes, workers, queued), dealt)
    targets = window(workers, {one.lane.queue for one in lanes})
    planned: Counter[str] = Counter()
    for portion in todo.portions:
        planned[portion.queue] += portion.count
        assert {one.queue for one in portion.lanes} == {portion.queue}
    for queue, count in planned.items():
        assert count + queued.get(queue, 0) <= targets[queue]
    assert todo.full == {queue for queue in targets if not planned[queue]}


# ---------------------------------------------------------------------------------------------------------- deliveries


@pytest.mark.parametrize(
    ("count", "workers", "size"),
    [
        pytest.param(1, [worker(free=100)], 1, id="little to do: one job a delivery"),
        pytest.param(SPREAD, [worker(free=100)], 1, id="enough for each turn of a worker"),
        pytest.param(SPREAD + 1, [worker(free=100)], 2, id="one more"),
        pytest.param(5000, [worker(free=200)], LARGEST_DELIVERY, id="never larger than the largest"),
        pytest.param(5000, [worker(free=60)], 60, id="nor than the slots of its worker"),
        pytest.param(5000, [worker(free=60), worker(free=0, slots=3)], 3, id="the smallest one, busy or not"),
        pytest.param(5000, [worker(free=60), worker("mail", free=3)], 60, id="of another queue doesn't matter"),
        pytest.param(40, [worker(free=60)] * 5, 2, id="more workers, smaller deliveries"),
        pytest.param(40, [], 1, id="nobody there"),
        pytest.param(5000, [worker(EVERY_QUEUE, free=7)], 7, id="a worker of every queue"),
    ],
)
def test_the_size_of_a_delivery(count: int, workers: list[Capacity], size: int) -> None:
    assert delivery_size(count, workers, "default") == size


@given(st.integers(0, 5000), st.lists(capacities, max_size=5))
def test_a_delivery_holds_something_and_fits_its_smallest_worker(count: int, workers: list[Capacity]) -> None:
    size = delivery_size(count, workers, "default")
    slots = [each.slots for each in workers if "default" in each.queues]
    assert 1 <= size <= max(1, min([LARGEST_DELIVERY, *slots]))
