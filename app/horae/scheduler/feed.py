"""Keeps the window full: sleeps until the next job is due or a hint comes, then claims and publishes."""

from __future__ import annotations

import asyncio

from horae.dispatch.claim import Dispatcher
from horae.dispatch.window import plan
from horae.signals.base import Signals
from horae.store.base import DispatchStore, Survey

SAFETY_POLL = 5.0
"""seconds between two looks when hints arrive, and a fifth of that when they may be lost"""
SHORTEST_LOOK, LONGEST_LOOK = 0.02, 1.0
"""seconds until the next look when the window is full: doubling from the one to the other"""


class Feed:
    """The duty that claims."""

    name = "feed"

    def __init__(self, store: DispatchStore, dispatcher: Dispatcher, signals: Signals) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._dispatcher = dispatcher
        self._signals = signals
        self._turn = 0
        self._look = SHORTEST_LOOK

    async def run_once(self) -> float:
        """Claims and publishes what there is room for."""
        if resting := self._dispatcher.resting:
            return resting
        survey = await self._store.survey()
        self._turn += 1
        todo = plan(survey, self._turn)
        claimed = 0
        for portion in todo.portions:
            claimed += await self._dispatcher.dispatch(portion, survey.workers)
        if claimed:
            # There may be more: a lane was longer than its share, or a namespace didn't need all of its.
            self._look = SHORTEST_LOOK
            return 0.0
        return self._pause(survey, full=bool(todo.full))

    def _pause(self, survey: Survey, full: bool) -> float:
        poll = SAFETY_POLL if self._signals.reliable else SAFETY_POLL / 5
        if full:
            self._look = min(self._look * 2, LONGEST_LOOK)
            poll = min(poll, self._look)
        return poll if survey.next_due is None else min(poll, survey.next_due)
