"""T11 for whoever has reason to cancel: what waits is CANCELLED, what runs is asked to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.transitions import ASK_CANCEL, CANCEL
from horae.store.database import Transaction
from horae.store.moves import chunks, moved


async def cancel_locked(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> list[JobId]:
    """Cancels jobs of which this transaction has locked `id` and `state`; answers those that could be."""
    waiting = [row.id for row in rows if row.state in CANCEL.sources]
    running = [row.id for row in rows if row.state in ASK_CANCEL.sources]
    for chunk in chunks(waiting):
        await tx.execute(moved(CANCEL, chunk, tx.now))
    for chunk in chunks(running):
        await tx.execute(moved(ASK_CANCEL, chunk, tx.now, cancel_requested=True))
    return waiting + running
