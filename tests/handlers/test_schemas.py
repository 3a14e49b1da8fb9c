"""Payloads against schemas: every wrong field is named, in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from horae.handlers.schemas import PayloadSchema

FIELDS: dict[str, Any] = {
    "to": {"type": "string", "format": "email", "maxLength": 20, "minLength": 3},
    "count": {"type": "integer", "minimum": 1, "maximum": 9},
    "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "step": {"type": "integer", "multipleOf": 5},
    "flag": {"type": "boolean"},
    "kind": {"enum": ["a", "b", 3]},
    "one": {"const": "x"},
    "code": {"type": "string", "pattern": "^[a-z]+$"},
    "own": {"type": "string", "pattern": "^[a-z]+$", "errorMessage": "must be lower case"},
    "at": {"type": "string", "format": "date-time"},
    "day": {"type": "string", "format": "date"},
    "id": {"type": "string", "format": "uuid"},
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "several": {"type": ["integer", "null"]},
    "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2, "uniqueItems": True},
    "nested": {"$ref": "#/$defs/nested"},
    "maybe_nested": {"anyOf": [{"$ref": "#/$defs/nested"}, {"type": "null"}]},
    "shape": {"oneOf": [{"$ref": "#/$defs/circle"}, {"$ref": "#/$defs/square"}]},
    "lengths": {"anyOf": [{"type": "string", "minLength": 5}, {"type": "string", "pattern": "^$"}]},
    "headers": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "maxProperties": 2},
    "never": False,
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": FIELDS,
    "required": ["to"],
    "additionalProperties": False,
    "$defs": {
        "nested": {
            "type": "object",
            "properties": {"q": {"type": "integer"}},
            "required": ["q"],
            "additionalProperties": False,
        },
        "circle": {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}},
            "required": ["kind", "r"],
        },
        "square": {
            "type": "object",
            "properties": {"kind": {"const": "square"}, "a": {"type": "number"}},
            "required": ["kind", "a"],
        },
    },
}
CHECKER = PayloadSchema(SCHEMA)


def errors(**payload: Any) -> dict[str, str]:
    found = CHECKER.errors({"to": "a@b.de", **payload})
    assert len({each.field for each in found}) == len(found)
    return {each.field.removeprefix("payload."): each.message for each in found}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"to": 5}, {"to": "must be a string"}),
        ({"to": "x"}, {"to": "must have at least 3 characters; must be an e-mail address"}),
        ({"to": "a@" + "b" * 20}, {"to": "must have at most 20 characters"}),
        ({"count": 0}, {"count": "must be at least 1"}),
        ({"count": 10}, {"count": "must be at most 9"}),
        ({"count": "5"}, {"count": "must be an integer"}),
        ({"count": 1.5}, {"count": "must be an integer"}),
        ({"count": True}, {"count": "must be an integer"}),
        ({"count": None}, {"count": "must be an integer"}),
        ({"ratio": 0}, {"ratio": "must be greater than 0"}),
        ({"ratio": 1}, {"ratio": "must be less than 1"}),
        ({"step": 3}, {"step": "must be a multiple of 5"}),
        ({"flag": 1}, {"flag": "must be true or false"}),
        ({"kind": "c"}, {"kind": 'must be one of "a", "b", 3'}),
        ({"one": "y"}, {"one": 'must be "x"'}),
        ({"code": "A"}, {"code": "must match the pattern ^[a-z]+$"}),
        ({"own": "A"}, {"own": "must be lower case"}),
        ({"at": "2026-01-31"}, {"at": "must be a time with its offset such as 2026-01-31T12:00:00Z"}),
        ({"day": "31.1.2026"}, {"day": "must be a date such as 2026-01-31"}),
        ({"id": "1"}, {"id": "must be a UUID"}),
        ({"maybe": "x"}, {"maybe": "must be an integer or null"}),
        ({"several": "x"}, {"several": "must be an integer or null"}),
        ({"list": []}, {"list": "must have at least 1 elements"}),
        ({"list": [1, 1, 2]}, {"list": "must have at most 2 elements; must not hold an element twice"}),
        ({"list": [1, "x"]}, {"list.1": "must be an integer"}),
        ({"nested": {}}, {"nested.q": "is required"}),
        ({"nested": {"q": 1, "r": 2}}, {"nested.r": "is not known here: the fields are q"}),
        ({"maybe_nested": {"q": "x"}}, {"maybe_nested.q": "must be an integer"}),
        ({"maybe_nested": 5}, {"maybe_nested": "must be an object or null"}),
        ({"shape": {"kind": "square"}}, {"shape.a": "is required"}),
        ({"shape": {"kind": "circle", "r": "x"}}, {"shape.r": "must be a number"}),
        ({"shape": 5}, {"shape": "must be an object"}),
        (
            {"lengths": "abc"},
            {"lengths": "fits none of its forms: must have at least 5 characters | must match the pattern ^$"},
        ),
        ({"headers": {"A": 1}}, {"headers.A": "is not allowed as a name"}),
        ({"headers": {"a": 1, "b": 2, "c": 3}}, {"headers": "must have at most 2 fields"}),
        ({"never": 1}, {"never": "is not allowed"}),
        ({"day": "2026-01-31", "count": 5.0, "maybe": None, "shape": {"kind": "square", "a": 1}}, {}),
    ],
)  # fmt: skip
def test_words(payload: dict[str, Any], expected: dict[str, str]) -> None:
    assert errors(**payload) == expected


def test_every_wrong_field_is_named() -> None:
    assert list(errors(count=0, ratio=2, flag=1)) == ["count", "ratio", "flag"]


def test_missing_and_unknown_fields() -> None:
    found = {each.field: each.message for each in CHECKER.errors({"too": 1, "x": 2})}
    assert found["payload.to"] == "is required"
    assert found["payload.too"].startswith("is not known here: the fields are at, code, count, ")
    assert found["payload.too"].endswith(" and 1 more")
    assert set(found) == {"payload.to", "payload.too", "payload.x"}


@pytest.mark.parametrize("payload", [[], 5, "x", None, True])
def test_a_payload_is_an_object(payload: Any) -> None:
    assert [(each.field, each.message) for each in CHECKER.errors(payload)] == [("payload", "must be an object")]


def test_very_many_errors_are_summed_up() -> None:
    found = CHECKER.errors({"to": "a@b.de", **{f"x{n}": n for n in range(1000)}})
    assert len(found) == 101
    assert found[-1].message == "900 more fields are wrong"


def test_values_are_not_repeated() -> None:
    secret = "s3cret"
    for each in CHECKER.errors(dict.fromkeys(FIELDS, secret)):
        assert secret not in each.message


@pytest.mark.parametrize("depth", [100, 10_000])
def test_a_deep_payload_is_no_crash(depth: int) -> None:
    payload: dict[str, Any] = {}
    for _ in range(depth):
        payload = {"a": payload}
    assert CHECKER.errors(payload)


def test_text_that_isn_t_unicode_is_no_crash() -> None:
    assert [each.field for each in CHECKER.errors({"to": "\ud800"})] == ["payload"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/passwd"},
    ],
)
def test_schemas_that_are_none(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PayloadSchema(schema)


def test_a_pattern_can_t_take_for_ever() -> None:
    checker = PayloadSchema({"properties": {"x": {"pattern": "^(([a-z])+.)+(?!x)[A-Z]([a-z])+$"}}})
    assert [each.message for each in checker.errors({"x": "a" * 40})] == ["takes too long to check"]
