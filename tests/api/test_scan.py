from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.api.scan import MAX_DEPTH, Census, first_fault
from horae.domain.errors import FieldError

LEVELS = MAX_DEPTH + 1
WIDE = "is an integer beyond 64 bits"
TWICE = "is given twice"
DEEP = "is nested deeper than 20 levels"


def census_of(text: bytes) -> Census:
    census = Census(LEVELS)
    census.add(orjson.loads(text))
    return census


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (b'{"a":1,"a":2}', "a", TWICE),
        (b'{"a":1,"\\u0061":2}', "a", TWICE),
        (b'{"payload":{"b":[{"c":1},{"c":1,"c":2}]}}', "payload.b.1.c", TWICE),
        (b'{"a":":","b":"x:y","b":1}', "b", TWICE),
        (b'{"a":9223372036854775808}', "a", WIDE),
        (b'{"a":[1,-9223372036854775809]}', "a.1", WIDE),
        (b'{"a":' + b"9" * 5000 + b"}", "a", WIDE),
        (b'{"payload":' + b'{"a":' * 21 + b"1" + b"}" * 22, "payload", DEEP),
        (b'{"payload":{"a":' + b"[" * 100_000, "payload", DEEP),
        (b'{"x":1,"tags":' + b"[" * 50, "tags", DEEP),
        (b'{"jobs":[{},{"payload":' + b"[" * 50, "jobs.1.payload", DEEP),
        (b"[" * 100_000, "body", DEEP),
    ],
)
def test_finds_and_names_the_first_fault(text: bytes, field: str, message: str) -> None:
    assert first_fault(text, LEVELS) == FieldError(field, message)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1.8446744073709552e19}',
        b'{"a":1e300,"b":-1e300}',
        b'{"a":9223372036854775807,"b":-9223372036854775808}',
        b'{"a":"99999999999999999999"}',
        b'{"a":"\\"b\\":1, \\"b\\":2"}',
        b'{"a":{"b":1},"b":{"a":1}}',
        b'{"a":"\\u003a"}',
        b'{"payload":' + b'{"a":' * 19 + b"{}" + b"}" * 20,
        b"[]",
        b"1",
    ],
)
def test_passes_what_is_right(text: bytes) -> None:
    assert first_fault(text, LEVELS) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":9223372036854775808}',
        b'{"a":99999999999999999999}',
        b'{"payload":' + b'{"a":' * 21 + b"1" + b"}" * 22,
    ],
)
def test_the_census_misses_no_fault(text: bytes) -> None:
    assert not census_of(text).agrees_with(text)


@pytest.mark.parametrize(
    "text",
    [b'{"a":"\\u003a\\u003A:","b":1e300}', b'{"a":1e300,"b":"12345"}', b'{"\\u003a":1}', b'{"a":"\\\\"}'],
)
def test_the_census_alone_clears_what_only_looks_wrong(text: bytes) -> None:
    assert census_of(text).agrees_with(text)


@pytest.mark.parametrize("before", [0, 1, 256 * 1024 - 30, 256 * 1024 - 20, 256 * 1024 - 10, 256 * 1024])
def test_a_long_number_is_found_wherever_it_stands(before: int) -> None:
    text = b'{"a":"' + b"x" * before + b'","b":123456789012345678901}'
    assert not census_of(text).agrees_with(text)
    assert first_fault(text, LEVELS) == FieldError("b", WIDE)


def test_the_census_counts_keys_at_every_level() -> None:
    assert Census(LEVELS).add({"a": {"b": [1, {"c": 2}]}, "d": "x:y"}) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_census_suspects_nothing_that_is_right(value: dict[str, Any]) -> None:
    text = orjson.dumps(value)
    if first_fault(text, LEVELS) is None:
        assert census_of(text).agrees_with(text)


@given(st.dictionaries(st.text(), json_values, min_size=1), st.data())
def test_every_doubled_key_is_found(value: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    text = orjson.dumps(value)[:-1] + b"," + orjson.dumps({key: 1})[1:]
    assert not census_of(text).agrees_with(text)
    assert first_fault(text, LEVELS) == FieldError(key or "body", TWICE)
