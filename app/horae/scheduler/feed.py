"""Keeps the window full: sleeps until the next job is due or a hint comes, then claims and publishes."""

from __future__ import annotations

import asyncio
from collections import Counter

from horae.dispatch.claim import Dispatcher
from horae.dispatch.window import Plan, plan
from horae.scheduler.looks import Look, safety_poll
from horae.signals.base import Signals
from horae.store.base import DispatchStore, Survey

SHORTEST_LOOK, LONGEST_LOOK = 0.02, 1.0
"""seconds until the next look when the window is full, or a due job is locked: doubling from the one to the other"""


class Feed:
    """The duty that claims."""

    name = "feed"

    def __init__(self, store: DispatchStore, dispatcher: Dispatcher, signals: Signals) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._dispatcher = dispatcher
        self._signals = signals
        self._dealt: Counter[str] = Counter()
        self._look = Look(SHORTEST_LOOK, LONGEST_LOOK)

    async def run_once(self) -> float:
        """Claims and publishes what there is room for."""
        survey = await self._store.survey()
        todo = plan(survey, self._dealt)
        if await self._dispatch(todo, survey):
            # There may be more: a lane was longer than its share, or a namespace didn't need all of its.
            self._look.reset()
            return 0.0
        return self._pause(todo, survey.next_due)

    async def _dispatch(self, todo: Plan, survey: Survey) -> int:
        claimed = 0
        for portion in todo.portions:
            if self._dispatcher.resting(portion.queue):
                continue
            self._dealt[portion.queue] += portion.count
            claimed += await self._dispatcher.dispatch(portion, survey.workers)
        return claimed

    def _pause(self, todo: Plan, next_due: float | None) -> float:
        waits = [safety_poll(self._signals)]
        if next_due is not None:
            waits.append(next_due)
        if todo.full or todo.portions:
            # Due, and not to be had: no room, or locked for the moment by somebody else.
            rests = (self._dispatcher.resting(portion.queue) for portion in todo.portions)
            waits.append(max(self._look.next(), min(rests, default=0.0)))
        else:
            self._look.reset()
        return min(waits)
