"""The body of a delivery: `{"v":1,"jobs":[["<id>",<token>],...]}`. Ids and tokens only; the database has the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from horae.domain.ids import JobId
from horae.domain.job import Reference

VERSION = 1

MAX_REFERENCES = 1000

# The whole grammar, because a pattern looks at a thousand references faster than code could look at one field of each:
# what matches has the right types and sizes. The possessive quantifier keeps a hostile body from being tried twice.
_ID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_REFERENCE = rb'\["%b",(?:0|[1-9][0-9]{0,17})\]' % _ID
_BODY = re.compile(rb'\{"v":%d,"jobs":\[%b(?:,%b){0,%d}+\]\}' % (VERSION, _REFERENCE, _REFERENCE, MAX_REFERENCES - 1))


class MalformedDelivery(ValueError):
    """Nobody who means well has sent this body."""


def encode(references: Sequence[Reference]) -> bytes:
    """The body that carries these references.

    Raises:
        ValueError: there are none, or more than a delivery may carry.
    """
    if not 1 <= len(references) <= MAX_REFERENCES:
        raise ValueError(f"a delivery carries 1 to {MAX_REFERENCES} references, not {len(references)}")
    return orjson.dumps({"v": VERSION, "jobs": [[job_id, token] for job_id, token in references]})


def decode(body: bytes) -> tuple[Reference, ...]:
    """What the body carries: 1 to 1,000 references to different jobs.

    Raises:
        MalformedDelivery: it is anything but what `encode` makes, to the last byte.
    """
    if not _BODY.fullmatch(body):
        raise MalformedDelivery("not a delivery")
    references = tuple(Reference(JobId(job_id), token) for job_id, token in orjson.loads(body)["jobs"])
    if len({reference.id for reference in references}) < len(references):
        raise MalformedDelivery("names a job twice")
    return references
