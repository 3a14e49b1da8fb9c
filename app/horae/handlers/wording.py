"""Errors of a JSON schema in plain words: what is wrong with a field, and what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from jsonschema_rs import ValidationError, ValidationErrorKind

from horae.domain.errors import FieldError

Kind = ValidationErrorKind
Path = Sequence[str | int]

_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_FORMATS = {
    "date": "a date such as 2026-01-31",
    "date-time": "a time with its offset such as 2026-01-31T12:00:00Z",
    "time": "a time of day with its offset such as 12:00:00Z",
    "duration": "a duration such as PT1H30M",
    "uuid": "a UUID",
    "email": "an e-mail address",
    "uri": "a URI",
}
_PLAIN: Mapping[type[Kind], str] = {
    Kind.Minimum: "must be at least {}",
    Kind.Maximum: "must be at most {}",
    Kind.ExclusiveMinimum: "must be greater than {}",
    Kind.ExclusiveMaximum: "must be less than {}",
    Kind.MultipleOf: "must be a multiple of {}",
    Kind.MinLength: "must have at least {} characters",
    Kind.MaxLength: "must have at most {} characters",
    Kind.MinItems: "must have at least {} elements",
    Kind.MaxItems: "must have at most {} elements",
    Kind.MinProperties: "must have at least {} fields",
    Kind.MaxProperties: "must have at most {} fields",
    Kind.UniqueItems: "must not hold an element twice",
    Kind.Pattern: "must match the pattern {}",
    Kind.BacktrackLimitExceeded: "takes too long to check",
    Kind.Not: "is not allowed",
    Kind.FalseSchema: "is not allowed",
}
_MUST_BE = "must be "
_MOST_NAMES = 20
_MOST_ERRORS = 100
OWN_MESSAGE = "errorMessage"
"""a keyword that a schema may carry: what to say whatever is wrong with its value"""


def explain(error: ValidationError, schema: Mapping[str, Any], path: Path) -> Iterator[FieldError]:
    """One error of the validator as errors of fields; `path` leads to the checked document."""
    where = [*path, *error.instance_path]
    match error.kind:
        case Kind.Required(property=name):
            yield _at([*where, name], "is required")
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            known = _known(_holder(schema, error))
            yield from (_at([*where, name], f"is not known here: {known}") for name in names)
        case Kind.PropertyNames(error=inner):
            message = _own(schema, inner) or _own(schema, error) or "is not allowed as a name"
            yield _at([*where, str(inner.instance)], message)
        case Kind.AnyOf(context=branches) | Kind.OneOfNotValid(context=branches):
            own = _own(schema, error)
            yield from [_at(where, own)] if own else _alternatives(branches, schema, path, where)
        case _:
            yield _at(where, _own(schema, error) or _message(error))


def by_field(errors: Iterable[FieldError]) -> list[FieldError]:
    """One error a field, in the order in which the fields came; of very many only the first hundred."""
    messages: dict[str, dict[str, None]] = {}
    for error in errors:
        messages.setdefault(error.field, {})[error.message] = None
    found = [FieldError(field, "; ".join(texts)) for field, texts in messages.items()]
    if len(found) <= _MOST_ERRORS:
        return found
    rest = FieldError(found[0].field.partition(".")[0], f"{len(found) - _MOST_ERRORS} more fields are wrong")
    return [*found[:_MOST_ERRORS], rest]


def dotted(path: Path) -> str:
    """The path as clients read it: `payload.items.0.name`."""
    return ".".join(str(part) for part in path)


def _at(path: Path, message: str) -> FieldError:
    return FieldError(dotted(path), message)


def _message(error: ValidationError) -> str:
    kind = error.kind
    match kind:
        case Kind.Type(types=types):
            return f"must be {_either(_TYPES.get(name, name) for name in sorted(types))}"
        case Kind.Enum(options=options):
            return f"must be one of {', '.join(_json(option) for option in options)}"
        case Kind.Constant(expected_value=value):
            return f"must be {_json(value)}"
        case Kind.Format(format=name):
            return f"must be {_FORMATS.get(name, name)}"
    plain = _PLAIN.get(type(kind))
    return error.message if plain is None else plain.format(kind.value)


def _alternatives(
    branches: Sequence[Sequence[ValidationError]], schema: Mapping[str, Any], path: Path, where: Path
) -> list[FieldError]:
    """What is wrong with a value that fits none of several forms: the errors of the form that it comes nearest to."""
    for misses_form in (_wrong_type, _wrong_tag):
        nearer = [branch for branch in branches if not any(misses_form(error, branches) for error in branch)]
        branches = nearer or branches
    found = [list(_flat(branch, schema, path)) for branch in branches]
    if len(found) == 1:
        return found[0]
    here = dotted(where)
    every = [error for branch in found for error in branch]
    if all(error.field == here and error.message.startswith(_MUST_BE) for error in every):
        return [_at(where, _MUST_BE + _either(error.message.removeprefix(_MUST_BE) for error in every))]
    return [_at(where, "fits none of its forms: " + " | ".join(_listed(branch, here) for branch in found))]


def _flat(branch: Sequence[ValidationError], schema: Mapping[str, Any], path: Path) -> Iterator[FieldError]:
    for error in branch:
        yield from explain(error, schema, path)


def _wrong_type(error: ValidationError, branches: Sequence[Sequence[ValidationError]]) -> bool:
    depth = min(len(other.instance_path) for branch in branches for other in branch)
    return isinstance(error.kind, Kind.Type) and len(error.instance_path) == depth


def _wrong_tag(error: ValidationError, _branches: Sequence[Sequence[ValidationError]]) -> bool:
    return isinstance(error.kind, Kind.Constant)


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _listed(errors: Sequence[FieldError], here: str) -> str:
    return ", ".join(f"{error.field.removeprefix(here).lstrip('.')} {error.message}".strip() for error in errors)


def _known(holder: Mapping[str, Any]) -> str:
    names = sorted(holder.get("properties", {}))
    if not names:
        return "there are no fields"
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"the fields are {', '.join(names[:_MOST_NAMES])}{rest}"


def _own(schema: Mapping[str, Any], error: ValidationError) -> str | None:
    message = _holder(schema, error).get(OWN_MESSAGE)
    return message if isinstance(message, str) else None


def _holder(schema: Mapping[str, Any], error: ValidationError) -> Mapping[str, Any]:
    """The part of the schema that holds the keyword which failed."""
    part: Any = schema
    for step in error.schema_path[:-1]:
        try:
            part = part[step]
        except LookupError:
            return {}
    return part if isinstance(part, Mapping) else {}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
