"""What users say of a schedule, field by field as clients know it: for the history. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from horae.domain.schedule import Definition
from horae.domain.wording import moment
from horae.store.schedule_rows import definition_values


def fields_of(definition: Definition) -> dict[str, Any]:
    """Every field with its value as JSON; `job` holds handler, payload and the settings that were given."""
    template = definition.template
    values = definition_values(definition)
    for kept in ("handler", "payload", "settings"):
        del values[kept]
    job = {"handler": template.handler, "payload": orjson.loads(template.payload), **template.settings}
    plain = {name: moment(value) if isinstance(value, datetime) else value for name, value in values.items()}
    return {**plain, "job": job}


def given_fields(definition: Definition) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields_of(definition).items() if value is not None}


def differences(before: Definition, after: Definition) -> Mapping[str, tuple[Any, Any]]:
    """What is otherwise: {field: (before, after)}. The order of an object's keys is no difference."""
    old, new = fields_of(before), fields_of(after)
    return {name: (old[name], new[name]) for name in new if _text(old[name]) != _text(new[name])}


def _text(value: Any) -> bytes:
    # Not by ==, which takes 1, 1.0 and true for the same.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
