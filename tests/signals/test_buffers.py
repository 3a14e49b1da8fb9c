from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from horae.signals.base import Event
from horae.signals.buffers import MESSAGE_LIMIT, Channels, Codec, Outbox

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.builds(Event, st.sampled_from(["job", "queue"]), NAMES, st.dictionaries(st.text(), JSON, max_size=3))


def channels() -> tuple[Channels, asyncio.Event]:
    changed = asyncio.Event()
    return Channels(changed), changed


# ---------------------------------------------------------------------------------------------------------- channels


def test_a_channel_is_asked_for_once_however_many_want_it() -> None:
    wanted, _ = channels()
    with wanted.want("a"), wanted.want("a"):
        assert wanted.changes() == ({"a"}, set())
        assert wanted.changes() == (set(), set())
    assert wanted.changes() == (set(), {"a"})


def test_a_channel_stays_until_the_last_one_leaves() -> None:
    wanted, _ = channels()
    wanted.keep("kept")
    with wanted.want("a"):
        with wanted.want("a"), wanted.want("kept"):
            assert wanted.changes() == ({"a", "kept"}, set())
        assert wanted.changes() == (set(), set())
    assert wanted.changes() == (set(), {"a"})


def test_each_wish_and_its_end_is_told() -> None:
    wanted, changed = channels()
    with wanted.want("a"):
        assert changed.is_set()
        changed.clear()
    assert changed.is_set()


def test_a_new_connection_asks_for_everything_again() -> None:
    wanted, changed = channels()
    wanted.keep("a")
    wanted.changes()
    wanted.confirm("a")
    before = wanted.complete
    changed.clear()
    wanted.reset()
    assert changed.is_set()
    assert (before, wanted.complete) == (True, False)
    assert wanted.changes() == ({"a"}, set())


async def test_who_waits_for_a_channel_goes_on_when_it_is_confirmed() -> None:
    wanted, _ = channels()
    with wanted.want("a"), wanted.want("b"):
        waiting = [asyncio.create_task(wanted.confirmed(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        wanted.confirm("b")
        await waiting[1]
        assert not waiting[0].done()
        wanted.confirm("a")
        await waiting[0]


def test_a_channel_that_was_left_must_be_confirmed_again() -> None:
    wanted, _ = channels()
    with wanted.want("a"):
        wanted.changes()
        wanted.confirm("a")
    wanted.changes()
    with wanted.want("a"):
        assert not wanted.complete


# ------------------------------------------------------------------------------------------------------------ outbox


def test_hints_are_merged_and_events_lose_their_oldest() -> None:
    outbox = Outbox(2, asyncio.Event())
    assert not outbox
    for n in range(3):
        outbox.hint("due")
        outbox.emit(Event("job", "default", {"n": n}))
    hints, events = outbox.take()
    assert hints == {"due"}
    assert [event.data["n"] for event in events] == [1, 2]
    assert not outbox


def test_a_message_holds_so_many_events_and_no_more() -> None:
    outbox = Outbox(10 * MESSAGE_LIMIT, asyncio.Event())
    for n in range(MESSAGE_LIMIT + 1):
        outbox.emit(Event("job", "default", {"n": n}))
    assert [event.data["n"] for event in outbox.take()[1]] == list(range(MESSAGE_LIMIT))
    assert outbox
    assert [event.data["n"] for event in outbox.take()[1]] == [MESSAGE_LIMIT]


def test_hints_that_were_put_back_go_out_with_the_next() -> None:
    changed = asyncio.Event()
    outbox = Outbox(1, changed)
    outbox.hint("due")
    taken, _ = outbox.take()
    outbox.hint("room")
    outbox.put_back(taken)
    assert outbox.take()[0] == {"due", "room"}


def test_whatever_is_added_is_told() -> None:
    changed = asyncio.Event()
    outbox = Outbox(1, changed)
    outbox.hint("due")
    assert changed.is_set()
    changed.clear()
    outbox.emit(Event("job", "default"))
    assert changed.is_set()


# ------------------------------------------------------------------------------------------------------------- codec


@given(st.lists(EVENTS, max_size=10))
def test_events_survive_the_way_in_order(events: list[Event]) -> None:
    here, there = Codec(b"here"), Codec(b"there")
    by_namespace = dict(here.messages(events))
    assert by_namespace.keys() == {event.namespace for event in events}
    for namespace, message in by_namespace.items():
        assert there.events(namespace, message) == [event for event in events if event.namespace == namespace]
        assert here.events(namespace, message) == []
        assert there.events(namespace + "x", message) == []


@given(st.binary(max_size=200) | JSON.map(str).map(str.encode))
def test_no_message_can_break_the_reader(message: bytes) -> None:
    assert Codec(b"here").events("default", message) == []


def test_an_event_that_is_not_json_is_left_out() -> None:
    events = [
        Event("job", "default", {"n": object()}),
        Event("job", "default", {"n": 1}),
        Event("job", "b", {"n": {1}}),
    ]
    messages = dict(Codec(b"here").messages(events))
    assert messages.keys() == {"default"}
    assert Codec(b"there").events("default", messages["default"]) == [events[1]]
