"""What a worker knows of its runs, and how one is asked to end."""

from __future__ import annotations

import pytest

from horae.worker.table import Ask, Entry, Table
from tests.support.brokers import reference, references
from tests.worker.runs import OTHER, WORKER


def enter(table: Table) -> Entry:
    entry = table.enter(reference(), WORKER)
    assert entry is not None
    return entry


# --------------------------------------------------------------------------------------------------------------- table


def test_a_reference_is_in_it_once_until_it_leaves() -> None:
    table, [one, other] = Table(), references(2)
    entry = table.enter(one, WORKER)
    assert entry is not None
    assert table.enter(one, OTHER) is None
    assert table.get(one) is entry
    assert table.get(other) is None
    assert len(table) == 1
    table.leave(entry)
    assert table.get(one) is None
    assert table.enter(one, OTHER) is not None


def test_another_token_is_another_reference() -> None:
    table, one = Table(), reference(1)
    assert table.enter(one, WORKER) is not None
    assert table.enter(one._replace(token=2), WORKER) is not None


def test_it_tells_when_it_is_empty() -> None:
    table = Table()
    assert table.empty.is_set()
    first, second = enter(table), enter(table)
    assert not table.empty.is_set()
    table.leave(first)
    assert not table.empty.is_set()
    table.leave(second)
    assert table.empty.is_set()


def test_it_may_change_while_one_goes_through_it() -> None:
    table = Table()
    entries = [enter(table) for _ in range(3)]
    for entry in table:
        table.leave(entry)
    assert len(entries) == 3
    assert table.empty.is_set()


def test_entries_belong_to_the_id_that_the_worker_had_when_it_took_them() -> None:
    table = Table()
    mine = enter(table)
    table.enter(reference(), OTHER)
    assert list(table.of(WORKER)) == [mine]


def test_it_remembers_what_was_in_it_at_any_time_during_a_question() -> None:
    table = Table()
    stays, leaves, gone = enter(table), enter(table), enter(table)
    table.leave(gone)
    with table.remembered() as known:
        table.leave(leaves)
        comes_and_goes = enter(table)
        table.leave(comes_and_goes)
        comes = enter(table)
        seen = [known(entry.reference) for entry in (stays, leaves, comes_and_goes, comes, gone)]
    assert seen == [True, True, True, True, False]
    with table.remembered() as known:
        assert not known(leaves.reference)


# --------------------------------------------------------------------------------------------------------------- entry


class Interrupts:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def asked(*asks: Ask) -> tuple[Entry, int]:
    """An entry after these asks, and how often its handler was interrupted."""
    entry, interrupts = Entry(reference(), WORKER), Interrupts()
    entry.interrupt = interrupts
    for ask in asks:
        entry.end(ask)
    return entry, interrupts.count


@pytest.mark.parametrize("first", Ask)
@pytest.mark.parametrize("second", Ask)
def test_the_first_reason_counts_but_a_lost_row_overrides_any(first: Ask, second: Ask) -> None:
    entry, _ = asked(first, second)
    assert entry.ask is (Ask.DROP if second is Ask.DROP else first)
    assert entry.ended.is_set()


@pytest.mark.parametrize("first", Ask)
@pytest.mark.parametrize(("second", "interrupts"), [(Ask.TIMEOUT, 1), (Ask.CANCEL, 1), (Ask.RELEASE, 2), (Ask.DROP, 2)])
def test_a_handler_that_cleans_up_is_interrupted_again_only_when_it_can_not_be_waited_for(
    first: Ask, second: Ask, interrupts: int
) -> None:
    assert asked(first, second)[1] == interrupts


def test_an_entry_without_a_handler_to_interrupt_remembers_that_it_was_asked() -> None:
    entry = Entry(reference(), WORKER)
    entry.end(Ask.RELEASE)
    assert entry.ask is Ask.RELEASE
    assert entry.ended.is_set()
