"""A handler's signature as the shape of its payload: what is taken, and what is refused.

The first parameter is the context; every other one is a field of the payload, with its annotation and its default.
`**rest` takes fields that aren't named. Checking is strict, as JSON has types: an `int` refuses "5". What JSON has no
type for (dates, UUIDs, enums, …) comes as a string.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, NotRequired, get_type_hints

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from horae.domain.errors import FieldError, InvalidInput
from horae.handlers.schemas import ROOT, PayloadSchema
from horae.handlers.wording import OWN_MESSAGE, by_field, dotted

Function = Callable[..., Any]
Parameter = inspect.Parameter

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TAKEN = "is the name of the context, not a field"
_SUBJECT = re.compile(r"^(Input|[A-Z][a-z]+( [a-z]+)?) should ")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes. `schema` is the JSON schema (2020-12) of its payload."""

    schema: Mapping[str, Any]
    _adapter: TypeAdapter[dict[str, Any]]
    _checker: PayloadSchema

    def validate(self, payload: str | Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for the handler, from the payload or its JSON text.

        Raises:
            InvalidInput: it doesn't fit; one error for each wrong field, named from `payload` on.
        """
        text = payload if isinstance(payload, str) else json.dumps(payload)
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            return self._once_more(text, error)

    def _once_more(self, text: str, first: ValidationError) -> dict[str, Any]:
        try:
            content = _whole_numbers(json.loads(text))
        except (ValueError, RecursionError):
            raise InvalidInput.of(ROOT, first.errors()[0]["msg"]) from None
        try:
            return self._adapter.validate_json(json.dumps(content), strict=True)
        except ValidationError as error:
            raise InvalidInput(self._explain(content, error)) from None

    def _explain(self, content: Any, error: ValidationError) -> list[FieldError]:
        """The schema's words where the schema sees the error too, so that submit and run say the same."""
        plain = self._checker.errors(content)
        details = error.errors(include_url=False, include_input=False)
        found = [FieldError(dotted([ROOT, *_path(each, content)]), _words(each)) for each in details]
        return by_field([*plain, *(each for each in found if not _is_named(each.field, plain))])


def read_signature(function: Function) -> Signature:
    """The payload that the function takes.

    Raises:
        TypeError: the function can't be called with a context and keyword arguments, or an annotation is unusable.
    """
    context, *others = _parameters(function)
    fields = {each.name: _field(function, each) for each in others if each.kind is not Parameter.VAR_KEYWORD}
    rest = [each for each in others if each.kind is Parameter.VAR_KEYWORD]
    if rest and context.kind is not Parameter.POSITIONAL_ONLY:
        fields[context.name] = NotRequired[_Taken]
    adapter, schema = _build(fields, _annotation(function, rest[0]) if rest else None)
    for each in others:
        _note_default(schema, each)
    return Signature(schema, adapter, PayloadSchema(schema))


def _parameters(function: Function) -> Sequence[Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
        raise TypeError("its first parameter must be the context: write `(ctx: JobContext, *, …)`")
    for each in parameters[1:]:
        if each.kind is Parameter.VAR_POSITIONAL:
            raise TypeError(
                f"a payload is an object and has nothing for *{each.name}: take a list as a field, or **rest"
            )
        if each.kind is Parameter.POSITIONAL_ONLY:
            raise TypeError(f"{each.name!r} can't be passed by name: move the `/` right behind the context")
    return parameters


def _field(function: Function, parameter: Parameter) -> Any:
    hint = _annotation(function, parameter)
    _try_out(parameter.name, hint)
    return hint if parameter.default is Parameter.empty else NotRequired[hint]


def _annotation(function: Function, parameter: Parameter) -> Any:
    if parameter.annotation is Parameter.empty:
        return Any
    # One by one: neither the context's annotation nor the result's need be importable at run time.
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    scope = inspect.unwrap(getattr(function, "__func__", function)).__globals__
    try:
        return get_type_hints(holder, globalns=scope, include_extras=True)[parameter.name]
    except Exception as error:
        raise TypeError(
            f"the annotation {parameter.annotation!r} of {parameter.name!r} can't be resolved ({error}): define or "
            "import it at the top of the module, not under TYPE_CHECKING"
        ) from error


def _try_out(name: str, hint: Any) -> None:
    try:
        TypeAdapter(hint).json_schema()
    except (PydanticUserError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"the annotation of {name!r} can't be read from JSON: {reason}") from error


def _build(fields: dict[str, Any], rest: Any) -> tuple[TypeAdapter[dict[str, Any]], dict[str, Any]]:
    make: Any = TypedDict  # keys are any names here, which a pydantic model's attributes can't be
    shape = make("Payload", fields) if rest is None else make("Payload", fields, extra_items=rest)
    shape.__pydantic_config__ = ConfigDict(extra="forbid" if rest is None else "allow", allow_inf_nan=False)
    adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
    schema = adapter.json_schema()
    del schema["title"]
    return adapter, {"$schema": _DRAFT, **schema}


def _note_default(schema: Mapping[str, Any], parameter: Parameter) -> None:
    if isinstance(parameter.default, str | int | float | bool) and type(parameter.default).__module__ == "builtins":
        schema["properties"][parameter.name]["default"] = parameter.default


def _refuse(_value: Any) -> Any:
    raise ValueError(_TAKEN)


_Taken = Annotated[Any, AfterValidator(_refuse), WithJsonSchema({"not": {}, OWN_MESSAGE: _TAKEN})]


def _whole_numbers(value: Any) -> Any:
    """JSON schema counts 5.0 as an integer, so it may have passed at submit: then it has to pass here too."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _whole_numbers(each) for key, each in value.items()}
        case list():
            return [_whole_numbers(each) for each in value]
    return value


def _is_named(field: str, errors: Sequence[FieldError]) -> bool:
    """Whether one of the errors is about the field or a part of it."""
    return any(f"{each.field}.".startswith(f"{field}.") for each in errors)


def _path(error: ErrorDetails, content: Any) -> Iterator[str | int]:
    """The error's place in the payload, without the steps that only pydantic knows (a union's member, `[key]`)."""
    for index, step in enumerate(error["loc"]):
        if _leads_on(content, step):
            content = content[step]
        elif error["type"] != "missing" or index + 1 < len(error["loc"]):
            continue
        yield step


def _leads_on(content: Any, step: str | int) -> bool:
    if isinstance(content, list):
        return isinstance(step, int) and step < len(content)
    return isinstance(content, dict) and step in content


def _words(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "is required"
    return _SUBJECT.sub("must ", error["msg"].removeprefix("Value error, "))
