"""The two databases: revisions, older and later ones, and what a failing one says."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, select, text

from bluezoned.authority import database, tables
from bluezoned.authority.database import METADATA, NEWEST, open_database
from bluezoned.authority.house import found_house
from bluezoned.authority.key_store import KeyRecords
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.errors import ConfigError, StoreError
from bluezoned.protocols.protocol import DAY
from tests.authority.postgres import Postgres
from tests.authority.ward import NOON, Ward, message

VERSION_1 = Path(__file__).parent / "version1.sql"
MIGRATIONS = Path(database.__file__).parent / "migrations"


def test_revisions_make_the_tables_that_are_declared(ward: Ward) -> None:
    with ward.database.reading() as seen:
        context = MigrationContext.configure(seen, opts={"compare_type": True})

        assert tables.key.metadata is METADATA
        assert autogenerate.compare_metadata(context, METADATA) == []


def test_newest_revision_is_the_last_one() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [NEWEST]


def test_database_from_before_revisions_is_taken_over_without_loss(tmp_path: Path) -> None:
    found_house(tmp_path, "ward", os.urandom)
    (tmp_path / "authority.db").unlink()
    with sqlite3.connect(tmp_path / "authority.db") as old:
        old.executescript(VERSION_1.read_text())
        before = {name: old.execute(f"SELECT * FROM {name}").fetchall() for name in ("case_", "code", "upload")}
        keys = [row[0] for row in old.execute("SELECT secret FROM key_ ORDER BY id")]
    old.close()

    ward = Ward(tmp_path)

    with ward.database.reading() as seen:
        after = {name: [tuple(row) for row in seen.execute(text(f"SELECT * FROM {name}"))] for name in before}
    assert after == before
    assert len(ward.authority.cases()) == 2
    assert ward.send(message(ward.code(at=NOON + DAY, kind=Kind.LONG)), NOON + DAY).accepted
    # Its files are not here, so what they told is told again, and what waited is told at last.
    ward.publisher.publish(NOON + DAY + HOUR)
    told = {bytes(key.secret) for export in ward.exports() for key in export.keys}
    assert set(keys) <= told
    ward.database.close()


def at_revision(url: str, revision: str) -> Engine:
    """An empty database of that revision."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


KEYS_OF_0009 = {  # secret: published_in, is_revoked, revoked_in, origin
    b"waits": (None, False, None, None),
    b"told": (1, False, None, None),
    b"told later": (2, False, None, None),
    b"to be taken back": (1, True, None, None),
    b"taken back": (1, True, 2, None),
    b"never told": (0, True, 0, "elsewhere"),
    b"of a batch that is forgotten": (7, False, None, None),
}


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_marks_on_keys_become_rows_of_their_own(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    if name == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.url(server.make_database())
    engine = at_revision(url, "0009")
    with engine.begin() as old:
        old.execute(text("INSERT INTO case_ (id, tier, opened) VALUES ('C-A', 0, 1)"))
        for sequence in (1, 2):
            batch = "INSERT INTO batch VALUES (:n, 'name', 1, :digest, 'gaen', 1, 2)"
            old.execute(text(batch), {"n": sequence, "digest": b"digest"})
        for secret, (published_in, is_revoked, revoked_in, origin) in KEYS_OF_0009.items():
            sql = ("INSERT INTO key_ (case_id, origin, protocol, secret, start, \"end\", tier, report_type, received, "
                   "published_in, is_revoked, revoked_in) VALUES (:case, :origin, 'gaen', :secret, 1, 2, 0, 1, 1, "
                   ":published_in, :is_revoked, :revoked_in)")  # fmt: skip
            old.execute(text(sql), {"case": None if origin else "C-A", "origin": origin, "secret": secret,
                                    "published_in": published_in, "is_revoked": is_revoked,
                                    "revoked_in": revoked_in})  # fmt: skip
    engine.dispose()

    opened = open_database(url)

    with opened.reading() as seen:
        key, told = tables.key, tables.told
        secrets = {row.id: row.secret for row in seen.execute(select(key))}
        waiting = [secrets[row] for row in seen.execute(select(tables.waiting.c.key_id)).scalars()]
        batches = {secrets[row.first_key]: row.batch for row in seen.execute(select(told))}
        back = KeyRecords(seen).waiting_revocations("gaen", 10).keys
    assert waiting == [b"waits"]
    assert batches == {b"told": 1, b"told later": 2, b"to be taken back": 1, b"taken back": 1}
    assert [bytes(one.secret) for one in back] == [b"to be taken back"]
    opened.close()


def test_database_of_a_later_revision_is_refused(ward_directory: Path) -> None:
    ward = Ward(ward_directory)
    with ward.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    ward.database.close()

    with pytest.raises(StoreError, match="newer bluezone-authority"):
        Ward(ward_directory)


def test_workers_that_start_together_make_the_tables_once(postgres_server: Postgres) -> None:
    url = postgres_server.url(postgres_server.make_database())
    opened: list[str] = []

    def start() -> None:
        open_database(url).close()
        opened.append(url)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 4


def test_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is it there"):
        open_database(f"postgresql://ward@/ward?host={tmp_path}")


def test_password_has_no_place_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "authority.toml").write_text('[database]\nurl = "postgresql://ward:secret@db/ward"\n')

    with pytest.raises(ConfigError, match="without a password") as refused:
        found_house(tmp_path, "ward", os.urandom)
    assert "secret" not in str(refused.value)
