"""Steps of revisions that may be run again after they were cut off."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def create_table(
    name: str, *columns: sa.Column[Any] | sa.Constraint, indexes: dict[str, list[str]] | None = None
) -> None:
    """The table and its indexes, as far as they are missing."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(name):
        op.create_table(name, *columns, **MYSQL)
    present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name)}
    for index, names in (indexes or {}).items():
        if index not in present:
            op.create_index(index, name, names)
