"""What was done to schedules: written beside each change, in its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import IdMaker
from horae.domain.schedule import Action, ScheduleId
from horae.runtime.clock import unix_ms
from horae.store.database import Transaction
from horae.store.rows import dumps
from horae.store.tables import changes

SCHEDULER = "scheduler"
"""the author of what nobody asked for"""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that is done to a schedule by the present transaction."""

    schedule_id: ScheduleId
    namespace: str
    name: str
    version: int
    action: Action
    author: str = SCHEDULER
    details: Mapping[str, Any] = field(default_factory=dict)


async def write_changes(tx: Transaction, ids: IdMaker, done: Sequence[Done]) -> None:
    """Keeps it with the time of the transaction."""
    if not done:
        return
    now = await tx.moment()
    rows = [
        {
            "id": ids.next(unix_ms(now)),
            "schedule_id": each.schedule_id,
            "namespace": each.namespace,
            "name": each.name,
            "at": now,
            "author": each.author,
            "action": each.action,
            "version": each.version,
            "details": dumps(each.details),
        }
        for each in done
    ]
    await tx.execute(sa.insert(changes), rows)
