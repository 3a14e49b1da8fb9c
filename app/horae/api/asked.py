"""What a request names: the id in its address, and the version that it means to change."""

from __future__ import annotations

import re

from aiohttp import web

from horae.api.problems import IF_MATCH_REQUIRED, STALE_VERSION, RequestRefused
from horae.domain.errors import NotFound
from horae.domain.ids import is_id

_ETAG = re.compile(r'"?(\d{1,10})"?')


def id_of(request: web.Request, kind: str, part: str = "id") -> str:
    """The id in that part of the address, of a thing of that kind.

    Raises:
        NotFound: it isn't one.
    """
    id_ = request.match_info[part]
    if not is_id(id_):
        raise NotFound(kind, id_)
    return id_


def version_of(request: web.Request, kind: str) -> int:
    """The version that `If-Match` names.

    Raises:
        RequestRefused: it names none.
    """
    given = request.headers.get("If-Match")
    if given is None:
        detail = f"is required: send the ETag that the {kind} was read with"
        raise RequestRefused(IF_MATCH_REQUIRED, detail, "If-Match")
    match = _ETAG.fullmatch(given.strip())
    if match is None:
        raise RequestRefused(STALE_VERSION, f'{given!r} is not the ETag of a {kind}, such as "3"', "If-Match")
    return int(match[1])
