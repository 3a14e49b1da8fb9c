"""The window: how many jobs of which lanes may be given to the broker now. Pure.

Only what live workers can start within about a second is QUEUED, so that priority, pause and cancel act at once however
long the backlog is. The target for a queue is its share of the free slots of the workers that serve it, plus what they
start of it in a second. Room is dealt like cards: every eighth share goes to the lane that has waited longest, so that
no lane starves, the others in turn to the namespaces that have due jobs, critical jobs first within each.

Each queue goes on where its last round ended. Counting rounds instead would let a pattern in time (a claim, a full
window, a claim, …) meet the same namespace at every claim.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from horae.domain.job import Lane
from horae.store.base import EVERY_QUEUE, Capacity, DueLane, Survey

EVERY = 8
"""one share in so many is the oldest lane's"""

REFILL = 4
"""the window is refilled when a quarter of it is free"""

LARGEST_DELIVERY = 100
SPREAD = 4
"""deliveries for each worker that a portion is cut into, so that none hoards what another could start"""


@dataclass(frozen=True, slots=True)
class Portion:
    """Up to `count` jobs, from the first of these lanes that has any; all of one queue."""

    lanes: tuple[Lane, ...]
    count: int

    @property
    def queue(self) -> str:
        """The queue of all its lanes."""
        return self.lanes[0].queue


@dataclass(frozen=True, slots=True)
class Plan:
    """What to claim now. `full` names queues with due jobs and live workers but no room."""

    portions: tuple[Portion, ...]
    full: frozenset[str]


def plan(survey: Survey, dealt: Mapping[str, int]) -> Plan:
    """Deals the room of every queue; `dealt` says how many shares of each were dealt before."""
    by_queue: defaultdict[str, list[DueLane]] = defaultdict(list)
    for due in survey.lanes:
        by_queue[due.lane.queue].append(due)
    targets = window(survey.workers, by_queue.keys())
    rooms = {queue: room(target, survey.queued.get(queue, 0)) for queue, target in targets.items()}
    hands = [deal(by_queue[queue], count, dealt.get(queue, 0)) for queue, count in rooms.items() if count]
    full = frozenset(queue for queue, count in rooms.items() if not count)
    return Plan(tuple(portion for hand in hands for portion in hand), full)


def serves(worker: Capacity, queue: str) -> bool:
    """Whether the worker takes jobs of the queue; one of `*` takes all."""
    return queue in worker.queues or EVERY_QUEUE in worker.queues


def room(target: int, queued: int) -> int:
    """How many more may be QUEUED; none while most of the target still is.

    What trickled into every gap would make deliveries of one job each, the slowest way of all.
    """
    free = target - queued
    return free if free * REFILL >= target else 0


def window(workers: Sequence[Capacity], due: Iterable[str]) -> dict[str, int]:
    """The target of QUEUED jobs for each queue that has due jobs and a live worker."""
    targets: defaultdict[str, float] = defaultdict(float)
    due = sorted(due)
    for worker in workers:
        served = [queue for queue in due if serves(worker, queue)]
        for queue in served:
            targets[queue] += worker.free / len(served) + worker.rates.get(queue, 0.0)
    return {queue: math.ceil(target) for queue, target in targets.items()}


def deal(lanes: Sequence[DueLane], room: int, dealt: int) -> list[Portion]:
    """The room of one queue, as portions in the order in which they should be claimed."""
    for_oldest = shares_of_oldest(room, dealt)
    portions = _in_turn(lanes, room - for_oldest, dealt - dealt // EVERY)
    if for_oldest:
        longest_first = sorted(lanes, key=lambda due: -due.waited)
        portions.append(Portion(tuple(due.lane for due in longest_first), for_oldest))
    return portions


def shares_of_oldest(room: int, dealt: int) -> int:
    """How many of the next `room` shares are an eighth one, counted from the first of all."""
    return (dealt + room) // EVERY - dealt // EVERY


def _in_turn(lanes: Sequence[DueLane], room: int, dealt: int) -> list[Portion]:
    """One portion for each namespace, as equal as can be; what one doesn't need falls to the next round."""
    namespaces = sorted({due.lane.namespace for due in lanes})
    first = dealt % len(namespaces)
    rotated = namespaces[first:] + namespaces[:first]
    each, more = divmod(room, len(rotated))
    shares = {name: each + (1 if place < more else 0) for place, name in enumerate(rotated)}
    return [Portion(_by_priority(lanes, name), count) for name, count in shares.items() if count]


def _by_priority(lanes: Sequence[DueLane], namespace: str) -> tuple[Lane, ...]:
    return tuple(sorted((due.lane for due in lanes if due.lane.namespace == namespace), key=lambda lane: lane.priority))


def delivery_size(count: int, workers: Sequence[Capacity], queue: str) -> int:
    """How many of `count` jobs go into one delivery: one when there is little to do, many when the backlog is long.

    Never more than the smallest worker of the queue has slots.
    """
    serving = [worker for worker in workers if serves(worker, queue)]
    if not serving:
        return 1
    smallest = min(worker.slots for worker in serving)
    return max(1, min(LARGEST_DELIVERY, smallest, math.ceil(count / (SPREAD * len(serving)))))
