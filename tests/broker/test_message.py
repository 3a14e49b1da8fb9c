"""The body of a delivery: ours comes back as it was, anything else is refused and never more than refused."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.broker.message import MalformedDelivery, decode, encode
from horae.domain.ids import JobId
from horae.domain.job import Reference

ID = "0199e0a4-6c00-7000-8000-000000000001"
OTHER = "0199e0a4-6c00-7000-8000-000000000002"

REFERENCES = st.lists(
    st.builds(lambda job_id, token: Reference(JobId(str(job_id)), token), st.uuids(), st.integers(0, 10**18 - 1)),
    min_size=1,
    max_size=50,
    unique_by=lambda reference: reference.id,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["v", "jobs"]), inner),
)


@settings(deadline=None)
@given(REFERENCES)
def test_what_was_encoded_is_decoded(references: list[Reference]) -> None:
    assert list(decode(encode(references))) == references


def test_the_body_never_changes_within_a_version() -> None:
    assert encode([Reference(JobId(ID), 3)]) == b'{"v":1,"jobs":[["%b",3]]}' % ID.encode()


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedDelivery):
        decode(body)


@settings(deadline=None)
@given(JSON)
def test_any_json_is_refused(content: object) -> None:
    with pytest.raises(MalformedDelivery):
        decode(orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"v":1}',
        b'{"v":1,"jobs":[]}',
        b'{"v":1,"jobs":{}}',
        b'{"v":1,"jobs":[[]]}',
        b'{"v":2,"jobs":[["%b",3]]}',
        b'{"v":true,"jobs":[["%b",3]]}',
        b'{"v":1.0,"jobs":[["%b",3]]}',
        b'{"v":1,"jobs":[["%b",3]],"x":0}',
        b'{"v":1,"jobs":[["%b",-1]]}',
        b'{"v":1,"jobs":[["%b",03]]}',
        b'{"v":1,"jobs":[["%b",3.0]]}',
        b'{"v":1,"jobs":[["%b",3e2]]}',
        b'{"v":1,"jobs":[["%b",true]]}',
        b'{"v":1,"jobs":[["%b",null]]}',
        b'{"v":1,"jobs":[["%b","3"]]}',
        b'{"v":1,"jobs":[["%b",1000000000000000000]]}',
        b'{"v":1,"jobs":[["%b",99999999999999999999999999]]}',
        b'{"v":1,"jobs":[["%b"]]}',
        b'{"v":1,"jobs":[["%b",3,4]]}',
        b'{"v":1,"jobs":["%b",3]}',
        b'{"v":1,"jobs":[["%b",3],]}',
        b'{"v":1,"jobs":[["%b",3]]}\n',
        b' {"v":1,"jobs":[["%b",3]]}',
        b'{"jobs":[["%b",3]],"v":1}',
        b'{"v":1,"jobs":[["%b",3],["%b",3]]}',
        b'{"v":1,"jobs":[["%b",3],["%b",4]]}',
    ],
)
def test_what_only_looks_like_a_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedDelivery):
        decode(body.replace(b"%b", ID.encode()))


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "x",
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        ID[:-1],
        ID + "0",
        "g" + ID[1:],
        f" {ID}",
    ],
)
def test_ids_must_be_canonical(job_id: str) -> None:
    with pytest.raises(MalformedDelivery):
        decode(orjson.dumps({"v": 1, "jobs": [[job_id, 1]]}))


@pytest.mark.parametrize("count", [1001, 100_000])
def test_too_many_references_are_refused(count: int) -> None:
    jobs = [[f"{number:08x}{ID[8:]}", number] for number in range(count)]
    with pytest.raises(MalformedDelivery):
        decode(orjson.dumps({"v": 1, "jobs": jobs}))


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"v":1,"jobs":[' * 100_000, b'{"v":1,"jobs":["' + b"a" * 10**7])
def test_huge_and_deep_bodies_are_refused_at_once(body: bytes) -> None:
    with pytest.raises(MalformedDelivery):
        decode(body)


def test_a_body_that_almost_matches_is_refused_at_once() -> None:
    body = encode([Reference(JobId(f"{number:08x}{OTHER[8:]}"), number) for number in range(1000)])
    with pytest.raises(MalformedDelivery):
        decode(body[:-1] + b"!")
