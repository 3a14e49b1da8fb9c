"""Payloads checked by JSON schema, for the api: it knows a handler's schema, not its code.

Nothing is fetched for a `$ref`, and the time that a pattern may take is bounded: schemas come from other processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, FancyRegexOptions

from horae.domain.errors import FieldError
from horae.handlers.wording import by_field, explain

ROOT = "payload"
_BACKTRACKS = 100_000


class PayloadSchema:
    """A compiled schema (JSON Schema 2020-12).

    Raises:
        ValueError: it isn't a valid schema.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)
        self._validator = Draft202012Validator(
            self._schema,
            validate_formats=True,
            offline=True,
            mask="the value",
            pattern_options=FancyRegexOptions(backtrack_limit=_BACKTRACKS),
        )

    def errors(self, payload: Any) -> list[FieldError]:
        """Everything that is wrong, one error a field, named from `payload` on; empty if all is well."""
        try:
            errors = list(self._validator.iter_errors(payload))
        except ValueError as error:
            return [FieldError(ROOT, f"can't be checked: {error}")]
        return by_field(part for error in errors for part in explain(error, self._schema, [ROOT]))
