from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from horae.api.catalogue import BETWEEN_LOOKS, FRESH_SECONDS, Catalogue
from horae.domain.errors import StoreUnavailable
from horae.store.base import HandlerInfo
from horae.store.sql import Stores
from tests.support.clock import ManualClock

OWN = HandlerInfo("echo", {}, {}, "own")
MAIL = HandlerInfo("mail.send", {"type": "object"}, {"queue": "mail"})


class Looks:
    """The registry, with a count of how often it was asked, and a way to be down."""

    def __init__(self, stores: Stores) -> None:
        self.count = 0
        self.down = False
        self._registry = stores.registry

    async def handlers(self) -> list[HandlerInfo]:
        self.count += 1
        if self.down:
            raise StoreUnavailable("down")
        return await self._registry.handlers()


@pytest.fixture
def looks(sqlite_stores: Stores) -> Looks:
    """The registry of this test."""
    return Looks(sqlite_stores)


@pytest.fixture
def catalogue(looks: Any, clock: ManualClock) -> Catalogue:
    """A catalogue over it."""
    return Catalogue(looks, clock, [OWN])


async def test_its_own_are_known_from_the_start(catalogue: Catalogue) -> None:
    known = catalogue.find("echo")
    assert known is not None
    assert known.info is OWN


async def test_an_unknown_name_makes_it_look_at_most_once_a_second(
    catalogue: Catalogue, looks: Looks, clock: ManualClock, sqlite_stores: Stores
) -> None:
    for _ in range(5):
        await catalogue.learn(["mail.send"])
    assert looks.count == 1
    await sqlite_stores.registry.remember([MAIL])
    clock.turn(BETWEEN_LOOKS)
    await catalogue.learn(["mail.send"])
    assert looks.count == 2
    assert catalogue.find("mail.send") is not None


async def test_what_is_known_is_looked_up_again_after_some_seconds(
    catalogue: Catalogue, looks: Looks, clock: ManualClock, sqlite_stores: Stores
) -> None:
    await catalogue.learn(["echo"])
    await sqlite_stores.registry.remember([HandlerInfo("echo", {"required": ["a"]}, {}, "newer")])
    clock.turn(FRESH_SECONDS - 0.1)
    await catalogue.learn(["echo"])
    assert looks.count == 1
    clock.turn(0.1)
    await catalogue.learn(["echo"])
    known = catalogue.find("echo")
    assert known is not None
    assert (known.info.version, [error.field for error in known.payload_errors({})]) == ("newer", ["payload.a"])


async def test_many_at_once_look_once(catalogue: Catalogue, looks: Looks) -> None:
    await asyncio.gather(*(catalogue.learn([f"h{number}"]) for number in range(50)))
    assert looks.count == 1


async def test_while_the_database_is_down_what_is_known_stays_known(
    catalogue: Catalogue, looks: Looks, clock: ManualClock
) -> None:
    looks.down = True
    await catalogue.learn(["echo"])
    assert catalogue.find("echo") is not None
    with pytest.raises(StoreUnavailable):
        await catalogue.learn(["mail.send"])


async def test_a_schema_is_compiled_again_only_when_it_has_changed(catalogue: Catalogue, sqlite_stores: Stores) -> None:
    await sqlite_stores.registry.remember([MAIL])
    await catalogue.refresh()
    before = catalogue.find("mail.send")
    await catalogue.refresh()
    assert catalogue.find("mail.send") is before
    await sqlite_stores.registry.remember([HandlerInfo("mail.send", {"type": "object"}, {"queue": "post"})])
    await catalogue.refresh()
    assert catalogue.find("mail.send") is not before


async def test_a_broken_schema_of_one_handler_leaves_the_others_alone(
    catalogue: Catalogue, sqlite_stores: Stores
) -> None:
    await sqlite_stores.registry.remember([HandlerInfo("broken", {"type": "no such type"}, {}), MAIL])
    with structlog.testing.capture_logs() as logs:
        await catalogue.refresh()
    assert [line["handler"] for line in logs if line["event"] == "api.schema_broken"] == ["broken"]
    assert [info.name for info in catalogue.all()] == ["broken", "echo", "mail.send"]
    broken = catalogue.find("broken")
    assert broken is not None
    assert broken.payload_errors({"anything": 1}) == []


def test_near_names_are_suggested(catalogue: Catalogue) -> None:
    assert catalogue.unknown("ehco").message == "'ehco' is not a known handler: did you mean echo?"
    assert catalogue.unknown("zzzz").message == "'zzzz' is not a known handler: no worker has registered it"
