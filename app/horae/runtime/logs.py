"""structlog for us and for the libraries below us: coloured lines on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from horae.runtime.config import LogFormat


def configure_logs(log_format: LogFormat | None, level: str) -> None:
    """Sets up logging to stderr for the whole process. `None` chooses by whether stderr is a terminal."""
    as_json = log_format == "json" or (log_format is None and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(as_json)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    _quieten()


def _renderers(as_json: bool) -> list[Any]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if not as_json:
        return [strip, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]


def _dumps(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def _quieten() -> None:
    # They tell every frame or statement at info and below; what matters of it we log ourselves.
    for name in ("aio_pika", "aiormq", "aiosqlite", "sqlalchemy.engine", "sqlalchemy.pool", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("aiormq.connection", "aio_pika.connection", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
