"""From JSON or query parameters to models, with an error for each wrong field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from horae.domain.errors import FieldError, InvalidInput

MAX_ERRORS = 100
"""as many are named in one answer"""

NOT_KNOWN = "is not known here"

M = TypeVar("M", bound=BaseModel)

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": NOT_KNOWN,
    "model_type": "should be a JSON object",
    "dict_type": "should be a JSON object",
    "list_type": "should be an array",
    "string_pattern_mismatch": "should be 1 to 64 characters of a-z, 0-9, dot, dash and underscore, "
    "beginning with a letter or digit",
}


def checked(model: type[M], value: object) -> M:
    """The value as that model.

    Raises:
        InvalidInput: names every wrong field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(field_errors(error)) from None


def field_errors(error: ValidationError, *place: str | int) -> list[FieldError]:
    """Every wrong field, with `place` in front of its path."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [FieldError(path((*place, *each["loc"])), _message(each)) for each in found[:MAX_ERRORS]]


def path(steps: Sequence[str | int]) -> str:
    """A field's name, or `body` for the whole."""
    return ".".join(map(str, steps)) or "body"


def _message(error: ErrorDetails) -> str:
    known = _MESSAGES.get(error["type"])
    return known or error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("List ", "").strip()


def query_of(request: web.Request, model: type[M]) -> M:
    """The query parameters as that model; only lists may be given more than once.

    Raises:
        InvalidInput: names every wrong or unknown parameter.
    """
    return checked(model, _collected(request)) if request.query_string else model()


def refuse_query(request: web.Request) -> None:
    """Lets no query parameter pass, on a route that takes none."""
    if request.query_string:
        raise InvalidInput([FieldError(name, NOT_KNOWN) for name in sorted(set(request.query))])


def _collected(request: web.Request) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for name in request.query:
        given = request.query.getall(name)
        if any("\ufffd" in text or "\x00" in text or _has_surrogate(text) for text in given):
            raise InvalidInput.of(name, "is not text in UTF-8")
        values[name] = given if name == "state" else given[0]
        if len(given) > 1 and name != "state":
            raise InvalidInput.of(name, "is given twice")
    return values


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
