"""Zones come from the tzdata package alone, and their segments are what its files say."""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import pairwise

import pytest

from horae.domain.zones import FIRST, LAST, TZDATA, Segment, UnknownZone, segment_at, segments_from, zone, zone_names
from tests.support.oracle import transitions

EPOCH, DAY = datetime(1970, 1, 1), timedelta(days=1)
HEADER = struct.Struct(">4sc15x6l")


def changes(name: str) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """The transitions written in a zone's file, with the offsets before and after; without its rule for later years."""
    data = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    # The first block, of 32 bits, repeats what the second one says in 64 bits.
    isut, isstd, leap, times, types, chars = HEADER.unpack_from(data)[2:]
    at = HEADER.size + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    *_, times, types, _chars = HEADER.unpack_from(data, at)
    at += HEADER.size
    instants = struct.unpack_from(f">{times}q", data, at)
    kinds = data[at + 8 * times : at + 9 * times]
    offsets = [struct.unpack_from(">l", data, at + 9 * times + 6 * n)[0] for n in range(types)]
    before = offsets[0] if offsets else 0
    for instant, kind in zip(instants, kinds, strict=True):
        if offsets[kind] != before:
            yield EPOCH + timedelta(seconds=instant), timedelta(seconds=before), timedelta(seconds=offsets[kind])
        before = offsets[kind]


def rule(name: str) -> bytes:
    """The last line of a zone's file, by which its later transitions follow."""
    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes().split(b"\n")[-2]


def test_no_two_transitions_are_nearer_than_the_search_assumes() -> None:
    distances = [b[0] - a[0] for name in zone_names() for a, b in pairwise(changes(name))]
    assert len(distances) > 10_000
    assert min(distances) > 6 * DAY


def test_nor_are_those_of_any_rule_for_later_years() -> None:
    places = [zone(name) for name in {rule(name): name for name in zone_names()}.values()]
    assert len(places) > 50
    for place in places:
        found = [each.at for each in transitions(place, datetime(2090, 1, 1), datetime(2092, 1, 1))]
        assert all(after - before > 20 * DAY for before, after in pairwise(found)), place


def test_no_file_says_more_than_a_rule_after_2100() -> None:
    assert max(at for name in zone_names() for at, _, _ in changes(name)) < datetime(2100, 1, 1)


def test_every_shift_is_shorter_than_the_margin() -> None:
    assert max(abs(after - before) for name in zone_names() for _, before, after in changes(name)) < 2 * DAY


@pytest.mark.parametrize(
    "name",
    [
        *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Europe/Dublin"),
        *("Pacific/Apia", "Pacific/Kwajalein", "America/St_Johns", "America/Boa_Vista", "Asia/Gaza", "UTC"),
        *("Africa/Monrovia", "Asia/Singapore", "Antarctica/Troll", "America/Caracas", "Asia/Pyongyang"),
    ],
)
def test_segments_are_cut_where_the_file_says(name: str) -> None:
    since = datetime(1900, 1, 1)
    written = [each for each in changes(name) if since < each[0]]
    until = written[-1][0] if written else datetime(1901, 1, 1)
    found = []
    for before, after in pairwise(segments_from(zone(name), since)):
        assert before.end == after.start
        if after.start > until:
            break
        if before.offset != after.offset:
            found.append((after.start, before.offset, after.offset))
    assert found == written


def at(name: str, instant: datetime) -> Segment:
    return segment_at(zone(name), instant)


def test_a_segment_knows_the_gap_before_it_and_the_fold_behind_it() -> None:
    winter, summer = (
        at("Europe/Berlin", datetime(2026, 3, 29, 0, 59, 59)),
        at("Europe/Berlin", datetime(2026, 3, 29, 1)),
    )
    assert (winter.end, winter.first_pass) == (datetime(2026, 3, 29, 1), None)
    assert summer.gap == (datetime(2026, 3, 29, 2), datetime(2026, 3, 29, 3))
    assert summer.second_pass is None
    assert summer.first_pass == (datetime(2026, 10, 25, 2), datetime(2026, 10, 25, 3))
    assert at("Europe/Berlin", summer.end).second_pass == summer.first_pass


def test_a_fold_at_the_years_end_is_seen_from_both_years() -> None:
    folds = 0
    for name in sorted(zone_names()):
        for instant, before, after in changes(name):
            if (instant.month, instant.day) in {(12, 31), (1, 1)} and instant.year > 1850:
                earlier, later = at(name, instant - timedelta(seconds=1)), at(name, instant)
                low, high = sorted((instant + before, instant + after))
                assert earlier.first_pass == later.second_pass == ((low, high) if after < before else None)
                assert later.gap == ((low, high) if after > before else None)
                folds += after < before
    assert folds > 10


def test_segments_reach_the_calendars_ends() -> None:
    assert segment_at(zone("Asia/Tokyo"), FIRST).start == FIRST
    assert list(segments_from(zone("Europe/Berlin"), LAST - DAY))[-1].end == LAST


def test_the_systems_own_files_are_not_used() -> None:
    assert zoneinfo.TZPATH == ()
    assert TZDATA[:4].isdigit()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("Europe/Berlim", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("utc", "did you mean UTC?"),
        ("../../etc/passwd", "'../../etc/passwd'"),
        ("/etc/localtime", "'/etc/localtime'"),
        ("Europe", "'Europe'"),
        ("", "''"),
        ("x" * 100_000, "'xxx"),
        ("Europe/Berlin\0", r"'Europe/Berlin\x00'"),
    ],
)
def test_other_names_are_refused(name: str, hint: str) -> None:
    with pytest.raises(UnknownZone) as refused:
        zone(name)
    assert hint in str(refused.value)
    assert len(str(refused.value)) < 200


def test_every_name_of_the_data_is_known() -> None:
    assert len(zone_names()) > 590
    assert {zone(name).key for name in zone_names()} == zone_names()
