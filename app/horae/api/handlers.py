"""The handlers that jobs may name."""

from __future__ import annotations

from aiohttp import web

from horae.api.answers import HandlersOut, handler_answer, json_response, page_answer
from horae.api.context import context_of
from horae.api.models import ListQuery
from horae.api.paging import page_of
from horae.api.routing import Routes

handlers = Routes("handlers")


@handlers.get("/handlers", out=HandlersOut)
async def list_handlers(request: web.Request, query: ListQuery) -> web.Response:
    """List handlers.

    With the schemas of their payloads and their defaults, by name.
    """
    catalogue = context_of(request).catalogue
    await catalogue.refresh()
    page, following = page_of(catalogue.all(), lambda info: info.name, query.limit, query.cursor, "handlers")
    return json_response(page_answer([handler_answer(info) for info in page], following))
