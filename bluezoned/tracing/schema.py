"""The database's tables, and the way to them from those of every released version."""

from __future__ import annotations

import sqlite3

from bluezoned.errors import StoreError

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE encounter (
            id INTEGER PRIMARY KEY,
            protocol TEXT NOT NULL,
            rolling_id BLOB NOT NULL,
            metadata BLOB,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            minutes BLOB NOT NULL,
            UNIQUE (rolling_id, start, protocol)
        ) STRICT""",
        'CREATE INDEX encounter_end ON encounter ("end")',
        """CREATE TABLE own_key (
            id INTEGER PRIMARY KEY,
            protocol TEXT NOT NULL,
            secret BLOB NOT NULL,
            "order" BLOB NOT NULL,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            upload INTEGER REFERENCES upload (id) ON DELETE SET NULL
        ) STRICT""",
        """CREATE TABLE diagnosis_key (
            id INTEGER PRIMARY KEY,
            protocol TEXT NOT NULL,
            secret BLOB NOT NULL UNIQUE,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            tier INTEGER NOT NULL,
            report_type INTEGER NOT NULL,
            days_since_onset INTEGER,
            published INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE match (
            diagnosis_key INTEGER NOT NULL REFERENCES diagnosis_key (id) ON DELETE CASCADE,
            encounter INTEGER NOT NULL REFERENCES encounter (id) ON DELETE CASCADE,
            PRIMARY KEY (diagnosis_key, encounter)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE batch (
            sequence INTEGER PRIMARY KEY,
            sha256 BLOB NOT NULL,
            published INTEGER NOT NULL,
            applied INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE upload (
            id INTEGER PRIMARY KEY,
            nonce BLOB NOT NULL UNIQUE,
            sealed BLOB,
            created INTEGER NOT NULL,
            state TEXT NOT NULL,
            problem TEXT NOT NULL DEFAULT '',
            tier INTEGER
        ) STRICT""",
        "CREATE TABLE fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL, body BLOB) STRICT, WITHOUT ROWID",
    ),
    # Encounters and secrets sealed by the day. What stood in the old tables is sealed by Store, in the same
    # transaction, and the old tables go with the next entry.
    (
        "CREATE TABLE day_key (day INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
        """CREATE TABLE block (
            id INTEGER PRIMARY KEY,
            day INTEGER NOT NULL,
            is_packed INTEGER NOT NULL,
            sealed BLOB NOT NULL
        ) STRICT""",
        "ALTER TABLE own_key RENAME TO old_own_key",
        "ALTER TABLE diagnosis_key RENAME TO old_diagnosis_key",
        "ALTER TABLE match RENAME TO old_match",
        """CREATE TABLE own_key (
            id INTEGER PRIMARY KEY,
            day INTEGER NOT NULL,
            protocol TEXT NOT NULL,
            sealed BLOB NOT NULL,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            upload INTEGER REFERENCES upload (id) ON DELETE SET NULL
        ) STRICT""",
        "CREATE TABLE diagnosis_key (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
        """CREATE TABLE match (
            diagnosis_key INTEGER NOT NULL REFERENCES diagnosis_key (id) ON DELETE CASCADE,
            encounter INTEGER NOT NULL,
            PRIMARY KEY (diagnosis_key, encounter)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        "DROP TABLE old_match",
        "DROP TABLE old_own_key",
        "DROP TABLE old_diagnosis_key",
        "DROP TABLE encounter",
    ),
)
"""Each entry lifts the schema by one version (`user_version`)."""

SEALED = 2
"""The version whose rows the store itself must carry over."""


def version(db: sqlite3.Connection) -> int:
    """StoreError when the file was written by a later version than this program."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > len(MIGRATIONS):
        raise StoreError(
            f"the database is of version {found}, written by a newer bluezoned; this one knows up to "
            f"{len(MIGRATIONS)}: install the newer one again"
        )
    return int(found)


def lift(db: sqlite3.Connection, to: int) -> None:
    """One version up, inside the caller's transaction."""
    for statement in MIGRATIONS[to - 1]:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {to}")
