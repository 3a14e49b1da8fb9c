"""Signatures as payloads: what they take and refuse, and that submit and run agree."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from horae.domain.errors import InvalidInput
from horae.handlers import JobContext
from horae.handlers.schemas import PayloadSchema
from horae.handlers.signature import Function, Signature, read_signature

if TYPE_CHECKING:
    from decimal import Context as Elsewhere


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    amount: int = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(TypedDict):
    a: int


def even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


async def every_type(  # type: ignore[no-untyped-def]
    ctx: JobContext,
    *,
    number: int,
    text: str = "x",
    ratio: float = 0.5,
    flag: bool = False,
    maybe: int | None = None,
    old_maybe: Optional[str] = None,  # noqa: UP045
    kind: Literal["a", "b"] = "a",
    colour: Colour = Colour.RED,
    day: dt.date = dt.date(2026, 1, 1),
    at: dt.datetime | None = None,
    span: dt.timedelta = dt.timedelta(0),
    key: uuid.UUID | None = None,
    price: Decimal = Decimal(0),
    items: list[Item] | None = None,
    point: Point | None = None,
    pair: Pair | None = None,
    names: set[str] = frozenset(),  # type: ignore[assignment]
    numbers: tuple[int, ...] = (),
    mapping: dict[str, int] | None = None,
    short: Annotated[str, Field(max_length=3)] = "",
    two: Annotated[int, AfterValidator(even)] = 0,
    either: int | str = 0,
    anything: Any = None,
    untyped=None,  # noqa: ANN001
) -> Elsewhere:
    raise NotImplementedError


EVERY = read_signature(every_type)


def errors(signature: Signature, payload: Any) -> dict[str, str]:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    with pytest.raises(InvalidInput) as caught:
        signature.validate(text)
    found = caught.value.errors
    assert len({each.field for each in found}) == len(found)
    return {each.field: each.message for each in found}


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("text", "ü", "ü"),
        ("ratio", 1, 1.0),
        ("ratio", 0.25, 0.25),
        ("maybe", None, None),
        ("maybe", 3, 3),
        ("old_maybe", "a", "a"),
        ("kind", "b", "b"),
        ("colour", "blue", Colour.BLUE),
        ("day", "2026-02-03", dt.date(2026, 2, 3)),
        ("at", "2026-02-03T04:05:06Z", dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
        ("span", "PT1H", dt.timedelta(hours=1)),
        ("key", "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        ("price", "1.10", Decimal("1.10")),
        ("items", [{"sku": "a"}, {"sku": "b", "amount": 2}], [Item(sku="a"), Item(sku="b", amount=2)]),
        ("point", {"x": 1}, Point(1)),
        ("pair", {"a": 1}, {"a": 1}),
        ("names", ["a", "b"], {"a", "b"}),
        ("numbers", [1, 2], (1, 2)),
        ("mapping", {"a": 1}, {"a": 1}),
        ("two", 4, 4),
        ("either", "a", "a"),
        ("either", 1, 1),
        ("anything", [1, {"a": None}], [1, {"a": None}]),
        ("untyped", {"a": 1.5}, {"a": 1.5}),
        ("number", 10**30, 10**30),
        ("number", 5.0, 5),
    ],
)
def test_values_as_the_annotation_says(field: str, given: Any, taken: Any) -> None:
    payload = {"number": 1, field: given}
    arguments = EVERY.validate(json.dumps(payload))
    assert arguments == {"number": 1, field: taken}
    assert type(arguments[field]) is type(taken)
    assert PayloadSchema(EVERY.schema).errors(payload) == []


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, {"payload.number": "is required"}),
        ({"number": "5"}, {"payload.number": "must be an integer"}),
        ({"number": 5.5}, {"payload.number": "must be an integer"}),
        ({"number": True}, {"payload.number": "must be an integer"}),
        ({"number": None}, {"payload.number": "must be an integer"}),
        ({"number": 1, "text": 5}, {"payload.text": "must be a string"}),
        ({"number": 1, "text": None}, {"payload.text": "must be a string"}),
        ({"number": 1, "ratio": "0.5"}, {"payload.ratio": "must be a number"}),
        ({"number": 1, "ratio": False}, {"payload.ratio": "must be a number"}),
        ({"number": 1, "flag": 1}, {"payload.flag": "must be true or false"}),
        ({"number": 1, "flag": "yes"}, {"payload.flag": "must be true or false"}),
        ({"number": 1, "maybe": "3"}, {"payload.maybe": "must be an integer or null"}),
        ({"number": 1, "kind": "c"}, {"payload.kind": 'must be one of "a", "b"'}),
        ({"number": 1, "colour": "green"}, {"payload.colour": 'must be one of "red", "blue"'}),
        ({"number": 1, "day": "1.2.2026"}, {"payload.day": "must be a date such as 2026-01-31"}),
        ({"number": 1, "day": 20485}, {"payload.day": "must be a string"}),
        ({"number": 1, "items": [{"sku": "a"}, {}]}, {"payload.items.1.sku": "is required"}),
        ({"number": 1, "point": {"x": "1"}}, {"payload.point.x": "must be an integer"}),
        ({"number": 1, "mapping": {"a": "1", "b": 2}}, {"payload.mapping.a": "must be an integer"}),
        ({"number": 1, "short": "abcd"}, {"payload.short": "must have at most 3 characters"}),
        ({"number": 1, "two": 3}, {"payload.two": "must be even"}),
        ({"number": 1, "either": []}, {"payload.either": "must be an integer or a string"}),
        ([], {"payload": "must be an object"}),
        (None, {"payload": "must be an object"}),
        ("[", {"payload": "Invalid JSON: EOF while parsing a list at line 1 column 1"}),
        (
            {"number": "a", "two": 3, "items": [{"sku": 1}], "day": "x"},
            {
                "payload.number": "must be an integer",
                "payload.items.0.sku": "must be a string",
                "payload.day": "must be a date such as 2026-01-31",
                "payload.two": "must be even",
            },
        ),
    ],
)
def test_every_wrong_field_is_named(payload: Any, expected: dict[str, str]) -> None:
    assert errors(EVERY, payload) == expected


def test_unknown_fields_are_refused() -> None:
    assert errors(EVERY, {"number": 1, "nubmer": 2})["payload.nubmer"].startswith("is not known here: the fields are ")


def test_the_context_is_no_field() -> None:
    assert "payload.ctx" in errors(EVERY, {"number": 1, "ctx": 2})


def test_the_schema_says_what_is_taken() -> None:
    def pay(ctx: JobContext, *, to: str, amount: Annotated[int, Field(ge=1, description="in cents")] = 100) -> None: ...

    assert read_signature(pay).schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "to": {"title": "To", "type": "string"},
            "amount": {"title": "Amount", "type": "integer", "minimum": 1, "default": 100, "description": "in cents"},
        },
        "required": ["to"],
        "additionalProperties": False,
    }


def test_fields_left_out_take_the_functions_default() -> None:
    assert EVERY.validate({"number": 1}) == {"number": 1}


async def test_names_that_models_use_are_free() -> None:
    def odd(
        ctx: JobContext, *, json: int, schema: str, model_config: int, _private: int, self: int, copy: int
    ) -> None: ...

    payload = {"json": 1, "schema": "s", "model_config": 2, "_private": 3, "self": 4, "copy": 5}
    assert read_signature(odd).validate(payload) == payload


# ------------------------------------------------------------------------------------------------------------- rest


def rest_of_any(ctx: JobContext, *, number: int = 0, **rest: Any) -> dict[str, Any]:
    return {"number": number, **rest}


def rest_of_int(ctx: JobContext, /, **rest: int) -> dict[str, int]:
    return rest


def test_rest_takes_what_isn_t_named() -> None:
    signature = read_signature(rest_of_any)
    payload = {"number": 1, "a": [1, 2.5], "not a name": None, "": 0}
    assert signature.validate(payload) == payload
    assert PayloadSchema(signature.schema).errors(payload) == []
    assert rest_of_any(None, **signature.validate(payload)) == payload  # type: ignore[arg-type]


def test_rest_has_its_annotation() -> None:
    signature = read_signature(rest_of_int)
    assert signature.validate({"a": 1}) == {"a": 1}
    assert errors(signature, {"a": 1, "b": "2"}) == {"payload.b": "must be an integer"}


def test_rest_can_t_take_the_contexts_name_unless_it_is_positional() -> None:
    assert errors(read_signature(rest_of_any), {"ctx": 1}) == {"payload.ctx": "is the name of the context, not a field"}
    arguments = read_signature(rest_of_int).validate({"ctx": 1})
    assert rest_of_int(None, **arguments) == {"ctx": 1}  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- unusable signatures


def no_parameters() -> None: ...
def only_keywords(*, number: int) -> None: ...
def only_rest(**rest: int) -> None: ...
def star_first(*args: int) -> None: ...
def star(ctx: JobContext, *numbers: int) -> None: ...
def positional(ctx: JobContext, number: int, /) -> None: ...
def under_type_checking(ctx: JobContext, *, where: Elsewhere) -> None: ...
def no_type(ctx: JobContext, *, where: 3) -> None: ...  # type: ignore[valid-type]
def a_function(ctx: JobContext, *, where: Callable[[], int]) -> None: ...
def a_plain_class(ctx: JobContext, *, where: Signature) -> None: ...


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (no_parameters, "first parameter must be the context"),
        (only_keywords, "first parameter must be the context"),
        (only_rest, "first parameter must be the context"),
        (star_first, "first parameter must be the context"),
        (star, r"nothing for \*numbers: take a list as a field, or \*\*rest"),
        (positional, "'number' can't be passed by name: move the `/`"),
        (under_type_checking, "'Elsewhere' of 'where' can't be resolved .* not under TYPE_CHECKING"),
        (no_type, "of 'where' can't be "),
        (a_function, "annotation of 'where' can't be read from JSON"),
        (a_plain_class, "annotation of 'where' can't be read from JSON"),
    ],
)
def test_unusable_signatures_say_what_to_do(function: Function, advice: str) -> None:
    with pytest.raises(TypeError, match=advice) as caught:
        read_signature(function)
    assert "\n" not in str(caught.value)


def test_positional_or_keyword_fields_are_fine() -> None:
    def plain(ctx: JobContext, number: int, text: str = "") -> None: ...

    assert read_signature(plain).validate({"number": 1}) == {"number": 1}


def test_wrapped_functions_show_what_they_wrap() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **named: Any) -> Any:
            return function(*args, **named)

        return wrapper

    def inner(ctx: JobContext, *, colour: Colour) -> None: ...

    assert read_signature(logged(inner)).validate({"colour": "red"}) == {"colour": Colour.RED}


# ------------------------------------------------------------------------------------------------- submit and run


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLAIN = sorted(set(EVERY.schema["properties"]) - {"day", "at", "span", "key", "price", "names", "two"})
"""fields of which the schema says everything"""


def refusal(text: str) -> InvalidInput | None:
    try:
        EVERY.validate(text)
    except InvalidInput as error:
        return error
    return None


@given(st.dictionaries(st.sampled_from(PLAIN), JSON, max_size=4), st.booleans())
def test_submit_and_run_agree(payload: dict[str, Any], complete: bool) -> None:
    payload = {"number": 1, **payload} if complete else payload
    at_submit = PayloadSchema(EVERY.schema).errors(payload)
    at_run = refusal(json.dumps(payload))
    assert (at_run is None) is (at_submit == []), (at_submit, at_run)
    assert at_submit == [] if at_run is None else at_submit == at_run.errors


@given(st.text(max_size=20) | JSON.map(json.dumps))
def test_any_text_is_judged(text: str) -> None:
    error = refusal(text)
    if error is not None:
        assert {each.field.split(".")[0] for each in error.errors} == {"payload"}


@given(st.dictionaries(st.text(max_size=5).filter(lambda name: name != "ctx"), JSON, max_size=4))
def test_rest_of_any_takes_everything(payload: dict[str, Any]) -> None:
    payload.pop("number", None)
    assert read_signature(rest_of_any).validate(json.dumps(payload)) == payload
