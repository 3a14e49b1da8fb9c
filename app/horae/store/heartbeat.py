"""Renews a worker's row from a plain thread, over a connection of its own, while the event loop is blocked."""

from __future__ import annotations

from collections.abc import Callable

import pymysql
import structlog
from sqlalchemy.engine import make_url

from horae.domain.ids import WorkerId
from horae.store.connections import connect_blocking
from horae.store.dialect import bytes_of_id, micros

log = structlog.get_logger(__name__)

TIMEOUT = 2
"""seconds for each of its waits"""

RENEW = (
    "UPDATE workers SET expires_at = UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND "
    "WHERE id = %s AND expires_at > UTC_TIMESTAMP(6)"
)


def heartbeat(url: str, lease: float, worker_id: Callable[[], WorkerId]) -> Callable[[], None]:
    """A blocking call that renews the lease once; what goes wrong is logged and left to the next one."""
    address = make_url(url)

    def renew() -> None:
        try:
            with connect_blocking(address, TIMEOUT) as connection, connection.cursor() as cursor:
                cursor.execute(RENEW, (micros(lease), bytes_of_id(worker_id())))
        except (pymysql.Error, OSError) as error:
            log.warning("worker.heartbeat_failed", error=str(error))

    return renew
