"""What a feed finds, in the words of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from horae.dispatch.window import Portion
from horae.domain.ids import WorkerId
from horae.domain.job import Lane, Priority
from horae.store.base import Capacity, DueLane


def lane(namespace: str = "a", priority: Priority = Priority.NORMAL, queue: str = "default") -> Lane:
    return Lane(namespace, queue, priority)


def due(
    namespace: str = "a", priority: Priority = Priority.NORMAL, waited: float = 0.0, queue: str = "default"
) -> DueLane:
    return DueLane(lane(namespace, priority, queue), waited)


def worker(
    *queues: str, free: int = 10, slots: int | None = None, rates: Mapping[str, float] | None = None, **fields: Any
) -> Capacity:
    """A live worker of these queues, or of `default`; `slots` are as many as are free unless given."""
    return Capacity(
        id=WorkerId("w"),
        queues=frozenset(queues or ("default",)),
        slots=free if slots is None else slots,
        free=free,
        rates=rates or {},
        **fields,
    )


def shares(portions: list[Portion]) -> list[tuple[str, int]]:
    """Whose first lane each portion serves, and how many jobs of it."""
    return [(portion.lanes[0].namespace, portion.count) for portion in portions]
