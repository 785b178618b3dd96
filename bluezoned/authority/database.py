"""The authority's database: SQLite, or PostgreSQL when users outgrow one machine. Connections, moments, migrations.

Tables belong to the modules that use them and are declared on METADATA; what changes them over time is in migrations/.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import NoSuchModuleError, OperationalError, SQLAlchemyError

from bluezoned.errors import ConfigError, StoreError

METADATA = MetaData()

NEWEST = "0011"
"""The last revision in migrations/versions. Compared as text: four digits, counting up."""

_POOL = 8
"""Connections of one process: its acts spend a third of their time in Python, so more would only wait there."""

_MIGRATION_LOCK = 0x626C7565
"""Advisory lock of PostgreSQL: workers that start together must not all change the tables. ("blue")"""

_READS = "bluezoned_reads"


class Database:
    """One database, opened and of the newest revision."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**{_READS: True}, **_snapshots(engine.dialect.name))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing. On SQLite one at a time; on PostgreSQL at once, so an act locks the row that it decides on
        (`with_for_update`, which SQLite need not). StoreError when the database fails."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Sees one moment and waits for no writer. StoreError when the database fails."""
        with _translated(), self._reading.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


def _snapshots(dialect: str) -> dict[str, Any]:
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if dialect == "postgresql" else {}


def open_database(url: str) -> Database:
    """The database at `url` (sqlite:///PATH or postgresql://…), brought to the newest revision. ConfigError when no
    database can have that address; StoreError when it cannot be used or was written by a later version."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            _require_newest(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"cannot use the database ({cause(error)}): is it there, and may this user write?") from error
    except StoreError:
        engine.dispose()
        raise
    return Database(engine)


def _engine(url: str) -> Engine:
    # Parameters are keys and digests of codes: no error may print them.
    if url.startswith("sqlite:"):
        engine = create_engine(url, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            hide_parameters=True,
            pool_size=_POOL,
            max_overflow=0,
            # A connection that died while it waited (the database was restarted) is replaced before it is used.
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "bluezone-authority"},
        )
    except (ImportError, NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
        raise ConfigError(f"cannot speak to this database ({type(error).__name__}): for PostgreSQL the package "
                          "psycopg is needed (pip install 'bluezoned[postgres]')") from error  # fmt: skip


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Ours begins transactions itself: the driver's own way would let two readers both believe they may write.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


_PRAGMAS = (
    "busy_timeout = 10000",  # ms; the server and the staff's commands write to the same file
    "journal_mode = WAL",
    "synchronous = FULL",  # a receipt is a promise: what it promises must outlast a pulled plug
    "foreign_keys = ON",
    "secure_delete = ON",  # what is forgotten is overwritten
)


def _begin_sqlite(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            f"the database failed ({cause(error)}), and nothing was changed: is the disk full, or does another "
            "program hold the database?"
        ) from error


def cause(error: SQLAlchemyError) -> str:
    """In the database's words where they hold no values: "database is locked", "disk I/O error"."""
    return str(error.orig).strip() if isinstance(error, OperationalError) else type(error).__name__


# revisions


def _require_newest(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision > NEWEST:
        raise StoreError("the database was written by a newer bluezone-authority: install that one again")
    if revision != NEWEST:
        _migrate(connection)


def _revision(connection: Connection) -> str | None:
    """None where there is no table yet. Before there were revisions, the fact `schema` was 1."""
    tables = sqlalchemy.inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    if "fact" in tables:
        version = connection.execute(text("SELECT value FROM fact WHERE name = 'schema'")).scalar() or 1
        return "unknown" if version > 1 else "0000"
    return None


def _migrate(connection: Connection) -> None:
    # Alembic takes a fifth of a second to load, and is needed once.
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    if _revision(connection) == "0000":
        command.stamp(config, "0001")
    command.upgrade(config, "head")
