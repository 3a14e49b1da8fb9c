"""What a worker is given to reach the world with."""

from __future__ import annotations

from dataclasses import dataclass

from horae.broker.base import Broker
from horae.runtime.clock import Clock
from horae.runtime.metrics import Metrics
from horae.signals.base import Signals
from horae.store.base import RegistryStore, WorkerStore


@dataclass(frozen=True, slots=True)
class Ports:
    """Interfaces only."""

    store: WorkerStore
    registry: RegistryStore
    broker: Broker
    signals: Signals
    clock: Clock
    metrics: Metrics
