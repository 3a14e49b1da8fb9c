"""What a scheduler is given to reach the world with."""

from __future__ import annotations

from dataclasses import dataclass

from horae.broker.base import Publisher
from horae.runtime.clock import Clock
from horae.runtime.metrics import Metrics
from horae.signals.base import Signals
from horae.store.base import DispatchStore, RescueStore
from horae.store.base_schedules import FiringStore


@dataclass(frozen=True, slots=True)
class Ports:
    """Interfaces only."""

    dispatch: DispatchStore
    rescue: RescueStore
    firing: FiringStore
    publisher: Publisher
    signals: Signals
    clock: Clock
    metrics: Metrics
