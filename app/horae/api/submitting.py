"""Submission, from the request's JSON to the stored ids: rows T1, for one job or many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from aiohttp import web

from horae.api.body import BODY_LEVELS, BULK_LEVELS, Unchecked, check_census, check_text
from horae.api.context import Context, namespace_of
from horae.api.drafts import new_job, request_hash
from horae.api.fields import check_key
from horae.api.models import BulkIn, JobIn
from horae.api.news import tell_submitted
from horae.api.scan import Census
from horae.api.validation import MAX_ERRORS, checked
from horae.domain.errors import FieldError, InvalidInput
from horae.domain.job import NewJob
from horae.store.base import RequestKey, Submitted

KEY_HEADER = "Idempotency-Key"
AT_A_TIME = 10
"""jobs of a bulk that are checked before others get their turn"""


def header_key(request: web.Request) -> str | None:
    """The idempotency key of the header, if there is one.

    Raises:
        InvalidInput: it isn't fit to be one, or there are two.
    """
    keys = request.headers.getall(KEY_HEADER, [])
    if not keys:
        return None
    if len(keys) > 1:
        raise InvalidInput.of(KEY_HEADER, "is given twice")
    try:
        return check_key(keys[0])
    except ValueError as error:
        raise InvalidInput.of(KEY_HEADER, str(error)) from None


async def submit_one(context: Context, request: web.Request, body: Unchecked[JobIn]) -> Submitted:
    """Stores the job of the body.

    Raises:
        InvalidInput: names every wrong field.
        KeyConflict: its key is known with another body.
    """
    key = header_key(request)
    keys = await check_text(body)
    await context.catalogue.learn(_names([body.value]))
    job = new_job(body.value, keys, context.catalogue, context.new_id(), key)
    return await _store(context, namespace_of(request), [job])


async def submit_many(context: Context, request: web.Request, body: Unchecked[BulkIn]) -> Submitted:
    """Stores all jobs of the body, or none.

    Raises:
        InvalidInput: names every wrong field of the first hundred.
        KeyConflict: the request's key or a job's own is known with another body.
    """
    key = header_key(request)
    checked(BulkIn, body.value)
    items: list[Any] = body.value["jobs"]
    await context.catalogue.learn(_names(items))
    jobs = await _drafts(context, items, body.text)
    whole = None if key is None else RequestKey(key, request_hash(body.value))
    return await _store(context, namespace_of(request), jobs, whole)


def _names(items: Sequence[Any]) -> set[str]:
    found = (item.get("handler") for item in items if isinstance(item, dict))
    return {name for name in found if isinstance(name, str)}


async def _drafts(context: Context, items: Sequence[Any], text: bytes) -> list[NewJob]:
    census = Census(BODY_LEVELS, keys=1)
    jobs: list[NewJob] = []
    errors: list[FieldError] = []
    # `keys`: that of the list itself.
    numbered = enumerate(items)
    while part := list(islice(numbered, AT_A_TIME)):
        for index, item in part:
            _draft(context, index, item, census, jobs, errors)
        if census.too_deep or len(errors) >= MAX_ERRORS:
            break
        # Checking ten thousand jobs takes long enough for others to notice.
        await asyncio.sleep(0)
    if errors:
        raise InvalidInput(errors[:MAX_ERRORS])
    await check_census(census, text, BULK_LEVELS)
    return jobs


def _draft(
    context: Context, index: int, item: Any, census: Census, jobs: list[NewJob], errors: list[FieldError]
) -> None:
    keys = census.add(item)
    if census.too_deep:
        return
    try:
        jobs.append(new_job(item, keys, context.catalogue, context.new_id()))
    except InvalidInput as error:
        errors.extend(_placed(index, error))


def _placed(index: int, error: InvalidInput) -> Iterator[FieldError]:
    place = f"jobs.{index}"
    for each in error.errors:
        yield FieldError(place if each.field == "body" else f"{place}.{each.field}", each.message)


async def _store(
    context: Context, namespace: str, jobs: Sequence[NewJob], whole: RequestKey | None = None
) -> Submitted:
    submitted = await context.deps.jobs.submit(namespace, jobs, whole)
    if any(submitted.fresh):
        tell_submitted(context.deps, namespace, [job for job, new in zip(jobs, submitted.fresh, strict=True) if new])
    return submitted
