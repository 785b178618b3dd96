"""Every table as rows, out of a database and into an empty one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import func, insert, select, text, update

from bluezoned.authority.database import METADATA, Database
from bluezoned.authority.tables import fact
from bluezoned.errors import StoreError

SKIPPED = 10_000
"""Batch numbers that a restored authority leaves out: what was published after the backup has used some, and boxes
refuse a number twice. Hourly batches of three protocols take four months for as many."""

_NOT_KEPT = {"lease"}


def tables(database: Database) -> Iterator[tuple[str, list[list[Any]]]]:
    """Each table's name and rows, as they are at one moment, parents before children."""
    with database.reading() as seen:
        for table in METADATA.sorted_tables:
            if table.name not in _NOT_KEPT:
                yield table.name, [list(row) for row in seen.execute(select(table))]


def fill(database: Database, rows: Mapping[str, list[list[Any]]]) -> int:
    """How many rows. StoreError when the database is not empty."""
    count = 0
    with database.writing() as connection:
        for table in METADATA.sorted_tables:
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise StoreError("the database is not empty: a backup is restored into a new one")
        for table in METADATA.sorted_tables:
            names = [column.name for column in table.columns]
            values = [dict(zip(names, row, strict=True)) for row in rows.get(table.name, [])]
            if table.name == "case_":  # a case may stand before the one that it met
                values.sort(key=lambda row: (row["source"] is not None, row["opened"]))
            if values:
                connection.execute(insert(table), values)
                count += len(values)
            if connection.dialect.name == "postgresql" and table.autoincrement_column is not None and values:
                # Rows came with their numbers; the next must not be one of them.
                name = table.name
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"))
        skip = update(fact).where(fact.c.name == "newest batch").values(value=fact.c.value + SKIPPED)
        connection.execute(skip)
    return count
