"""The handlers that jobs may name: those known here from the start, and those that workers registered.

Kept in the process and read again when they are a few seconds old, or at once when an unknown name comes (a worker may
have registered it a moment ago), but never more than once a second.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from horae.domain.errors import FieldError, Unavailable
from horae.domain.template import understood
from horae.handlers.schemas import PayloadSchema
from horae.runtime.clock import Clock
from horae.store.base import HandlerInfo, RegistryStore

log = structlog.get_logger(__name__)

FRESH_SECONDS = 5.0
BETWEEN_LOOKS = 1.0
SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Known:
    """A handler with its payload's schema, ready to check."""

    info: HandlerInfo
    schema: PayloadSchema | None = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    """its defaults, as `NewJob` holds them"""

    def payload_errors(self, payload: object) -> list[FieldError]:
        """Everything that is wrong with the payload."""
        return self.schema.errors(payload) if self.schema else []


class Catalogue:
    """What the api knows of handlers. `own` are known without any worker."""

    def __init__(self, registry: RegistryStore, clock: Clock, own: Sequence[HandlerInfo] = ()) -> None:
        self._registry = registry
        self._clock = clock
        self._own = tuple(own)
        self._known = {info.name: _known(info) for info in own}
        self._looked: float | None = None
        self._turn = asyncio.Lock()

    def find(self, name: str) -> Known | None:
        """The handler of that name, as known now."""
        return self._known.get(name)

    def all(self) -> list[HandlerInfo]:
        """Every handler known now, by name."""
        return [self._known[name].info for name in sorted(self._known)]

    def unknown(self, name: str) -> FieldError:
        """The error of a job that names a handler unknown so far."""
        near = difflib.get_close_matches(name, self._known, n=SUGGESTIONS, cutoff=0.6)
        hint = f": did you mean {' or '.join(near)}?" if near else ": no worker has registered it"
        return FieldError("handler", f"{name!r} is not a known handler{hint}")

    async def learn(self, names: Iterable[str]) -> None:
        """Makes sure that what is known is fresh enough to judge these names.

        Raises:
            StoreUnavailable: one of them is unknown, and the database can't be asked.
        """
        missing = [name for name in names if name not in self._known]
        if not self._due(missing):
            return
        # Whoever comes while another one is looking goes on with what is known, unless it lacks a name.
        if self._turn.locked() and not missing:
            return
        async with self._turn:
            if self._due(missing):
                await self._look_unless_down(missing)

    async def refresh(self) -> None:
        """Reads what workers have registered."""
        registered = await self._registry.handlers()
        self._looked = self._clock.monotonic()
        latest = {info.name: info for info in (*self._own, *registered)}
        self._known = {name: self._renewed(info) for name, info in latest.items()}

    def _due(self, missing: Collection[str]) -> bool:
        if self._looked is None:
            return True
        age = self._clock.monotonic() - self._looked
        return age >= (BETWEEN_LOOKS if missing else FRESH_SECONDS)

    async def _look_unless_down(self, missing: Collection[str]) -> None:
        try:
            await self.refresh()
        except Unavailable as error:
            if missing:
                raise
            log.warning("api.handlers_not_refreshed", error=str(error))

    def _renewed(self, info: HandlerInfo) -> Known:
        """Compiles the schema only if it has changed."""
        old = self._known.get(info.name)
        return old if old is not None and old.info == info else _known(info)


def _known(info: HandlerInfo) -> Known:
    settings = understood(info.defaults)
    try:
        return Known(info, PayloadSchema(info.schema), settings)
    except ValueError as error:
        # One worker's broken schema must not keep the others' jobs out: its own check at the run will speak.
        log.warning("api.schema_broken", handler=info.name, error=str(error))
        return Known(info, None, settings)
