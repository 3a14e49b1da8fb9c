"""From a job as it was asked for to the job to be stored: checked, completed, hashed. Pure.

The job's own fields win over the handler's defaults, those over the global ones, which are `NewJob`'s own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from horae.api.catalogue import Catalogue
from horae.api.models import JobIn
from horae.api.scan import Census
from horae.api.settings import given_settings, time_conflicts
from horae.api.validation import field_errors
from horae.domain.errors import FieldError, InvalidInput
from horae.domain.ids import JobId
from horae.domain.job import NewJob

PAYLOAD_BYTES = 64 * 1024
PAYLOAD_KEYS = 1_000
KEY = "idempotency_key"


def new_job(item: object, keys: int, catalogue: Catalogue, id_: JobId, header_key: str | None = None) -> NewJob:
    """The job to be stored. `keys` is how many the item holds in all, its payload's among them.

    Raises:
        InvalidInput: names every wrong field.
    """
    asked, errors = _judged(item)
    payload = b"{}"
    if isinstance(item, dict):
        payload, more = judged_payload(item, keys, catalogue, {error.field for error in errors})
        errors += more
    if asked is None or errors:
        raise InvalidInput(errors)
    conflicts = [*time_conflicts(asked, asked.expires_at), *_key_conflicts(asked.idempotency_key, header_key)]
    if conflicts:
        raise InvalidInput(conflicts)
    return _completed(asked, item, payload, catalogue, id_, header_key or asked.idempotency_key)


def _judged(item: object) -> tuple[JobIn | None, list[FieldError]]:
    try:
        return JobIn.model_validate(item), []
    except ValidationError as error:
        return None, field_errors(error)


def judged_payload(
    item: Mapping[str, Any], keys: int, catalogue: Catalogue, wrong: set[str]
) -> tuple[bytes, list[FieldError]]:
    """The payload as it is kept, and what is wrong with it and the handler beyond their types.

    `wrong` are the fields that the model has found wrong. `keys` is at least how many the payload holds in all.
    """
    name, payload = item.get("handler"), item.get("payload", {})
    known = catalogue.find(name) if isinstance(name, str) else None
    errors = [] if known or "handler" in wrong or not isinstance(name, str) else [catalogue.unknown(name)]
    if not isinstance(payload, dict):
        return b"{}", errors
    text, too_big = payload_text(payload, keys)
    if too_big:
        errors.append(too_big)
    elif known:
        errors += known.payload_errors(payload)
    return text, errors


def payload_text(payload: Mapping[str, Any], keys: int) -> tuple[bytes, FieldError | None]:
    """The payload as it is kept, and what is wrong with its size. Its depth has been looked at before."""
    if keys > PAYLOAD_KEYS and (own := Census(levels=255).add(payload)) > PAYLOAD_KEYS:
        return b"{}", FieldError("payload", f"has {own:,} keys, more than {PAYLOAD_KEYS:,}")
    text = orjson.dumps(payload)
    if len(text) > PAYLOAD_BYTES:
        return text, FieldError("payload", f"is {len(text):,} bytes long as JSON, more than {PAYLOAD_BYTES:,}")
    return text, None


def _key_conflicts(own: str | None, header: str | None) -> Iterator[FieldError]:
    if own is not None and header is not None and own != header:
        yield FieldError(KEY, "differs from the header Idempotency-Key")


def _completed(asked: JobIn, item: Any, payload: bytes, catalogue: Catalogue, id_: JobId, key: str | None) -> NewJob:
    known = catalogue.find(asked.handler)
    defaults = known.settings if known else {}
    return NewJob(
        id=id_,
        handler=asked.handler,
        payload=payload.decode(),
        expires_at=asked.expires_at,
        retry_for_seconds=asked.retry_for_seconds,
        idempotency_key=key,
        request_hash=b"" if key is None else request_hash(item),
        **{**defaults, **given_settings(asked)},
    )


def request_hash(content: Mapping[str, Any]) -> bytes:
    """What tells this request from others under the same key: all that was given but the key itself."""
    rest = {name: value for name, value in content.items() if name != KEY}
    return hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).digest()
