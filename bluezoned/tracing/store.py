"""The device's memory: one SQLite file, WAL, one transaction a tick. All of the device's SQL is here.

Keeps encounters, own keys, matched diagnosis keys, what was applied and what was sent. Retention is enforced by
`prune` alone. Never logs, never reads the clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DailyKey, DiagnosisKey, Payload, ReportType, Tier
from bluezoned.tracing.encounter import Encounter, pack_minutes, unpack_minutes
from bluezoned.tracing.sighted import Place, Sighted

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE encounter (
        id INTEGER PRIMARY KEY,
        protocol TEXT NOT NULL,
        rolling_id BLOB NOT NULL,
        metadata BLOB,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        minutes BLOB NOT NULL,
        UNIQUE (rolling_id, start, protocol)
    ) STRICT;
    CREATE INDEX encounter_end ON encounter ("end");
    CREATE TABLE own_key (
        id INTEGER PRIMARY KEY,
        protocol TEXT NOT NULL,
        secret BLOB NOT NULL,
        "order" BLOB NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        upload INTEGER REFERENCES upload (id) ON DELETE SET NULL
    ) STRICT;
    CREATE TABLE diagnosis_key (
        id INTEGER PRIMARY KEY,
        protocol TEXT NOT NULL,
        secret BLOB NOT NULL UNIQUE,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        tier INTEGER NOT NULL,
        report_type INTEGER NOT NULL,
        days_since_onset INTEGER,
        published INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE match (
        diagnosis_key INTEGER NOT NULL REFERENCES diagnosis_key (id) ON DELETE CASCADE,
        encounter INTEGER NOT NULL REFERENCES encounter (id) ON DELETE CASCADE,
        PRIMARY KEY (diagnosis_key, encounter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE batch (
        sequence INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,
        published INTEGER NOT NULL,
        applied INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE upload (
        id INTEGER PRIMARY KEY,
        nonce BLOB NOT NULL UNIQUE,
        sealed BLOB,
        created INTEGER NOT NULL,
        state TEXT NOT NULL,
        problem TEXT NOT NULL DEFAULT '',
        tier INTEGER
    ) STRICT;
    CREATE TABLE fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL, body BLOB) STRICT, WITHOUT ROWID;
    """,
)
"""Each entry lifts the schema by one version, inside one transaction with its own record (`user_version`)."""


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """One publication of own keys, from consent to receipt."""

    id: int
    nonce: Opaque
    sealed: bytes | None
    """The message as it is posted; None once a receipt has come."""
    created: int
    state: str
    """`pending`, `accepted`, `refused` or `revoked`."""
    problem: str
    tier: Tier | None


@dataclass(frozen=True, slots=True)
class MatchedKey:
    """A published key that this device met, with what it heard of it."""

    key: DiagnosisKey
    published: int
    encounters: tuple[Encounter, ...]


class Store:
    """One open database. Close it, or use it as a context manager; closing twice is harmless."""

    def __init__(self, path: Path) -> None:
        """Opens or creates `path` (mode 0600). StoreError when that fails or the file is of a later version."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._db.execute("PRAGMA journal_mode = WAL")
            # FULL: one fsync a transaction, which is one a minute, and a pulled plug loses no committed encounter.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")
            self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open the database {path}: {error}") from error

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(f"the database is of version {version}, written by a newer bluezoned; this one knows up "
                             f"to {len(MIGRATIONS)}: install the newer one again")  # fmt: skip
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Nested use joins the outer one. StoreError when SQLite fails (disk full, locked)."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"the database refuses to write: {error}") from error
            raise

    # encounters

    def put_encounters(self, encounters: Iterable[Encounter]) -> None:
        """Insert or bring up to date, by rolling id and start."""
        self._db.executemany(
            'INSERT INTO encounter (protocol, rolling_id, metadata, start, "end", minutes) VALUES (?, ?, ?, ?, ?, ?) '
            "ON CONFLICT (rolling_id, start, protocol) DO UPDATE SET "
            'metadata = excluded.metadata, "end" = excluded."end", minutes = excluded.minutes',
            [
                (e.protocol, e.payload.rolling_id, e.payload.metadata, e.start, e.end, pack_minutes(e.minutes))
                for e in encounters
            ],
        )

    def encounters(self, start: int, end: int) -> list[Encounter]:
        """Those that began in [start, end) ms, in order."""
        rows = self._db.execute(
            f"SELECT {_ENCOUNTER} FROM encounter e WHERE e.start >= ? AND e.start < ? ORDER BY e.start, e.id",
            (start, end),
        )
        return [_encounter(row) for row in rows]

    def sighted(self, protocol: str) -> Sighted:
        """What matching looks in."""
        sighted = Sighted()
        rows = self._db.execute('SELECT rolling_id, id, start, "end" FROM encounter WHERE protocol = ?', (protocol,))
        for rolling_id, row, start, end in rows:
            sighted.add(rolling_id, Place(row, start, end))
        return sighted

    # own keys

    def put_own_key(self, protocol: str, key: DailyKey) -> None:
        self._db.execute(
            'INSERT INTO own_key (protocol, secret, "order", start, "end") VALUES (?, ?, ?, ?, ?)',
            (protocol, key.secret, key.order, key.start, key.end),
        )

    def own_keys(self, protocol: str) -> list[DailyKey]:
        """Oldest first."""
        rows = self._db.execute(
            'SELECT secret, start, "end", "order" FROM own_key WHERE protocol = ? ORDER BY start', (protocol,)
        )
        return [DailyKey(Opaque(secret), start, end, Opaque(order)) for secret, start, end, order in rows]

    def own_secrets(self) -> set[bytes]:
        return {secret for (secret,) in self._db.execute("SELECT secret FROM own_key")}

    def bind_own_keys(self, protocol: str, upload: int, cut: int, keys: Iterable[DailyKey]) -> None:
        """These own keys go with `upload`; none of them is used beyond `cut` (ms)."""
        for key in keys:
            whose = (protocol, key.secret, key.start)
            self._db.execute(
                'UPDATE own_key SET upload = ?, "end" = min("end", ?) WHERE protocol = ? AND secret = ? AND start = ?',
                (upload, cut, *whose),
            )

    def is_published(self, protocol: str, key: DailyKey) -> bool:
        """Whether the key has left the device in an upload, whatever became of it."""
        row = self._db.execute(
            "SELECT upload IS NOT NULL FROM own_key WHERE protocol = ? AND secret = ? AND start = ?",
            (protocol, key.secret, key.start),
        ).fetchone()
        return row is not None and bool(row[0])

    # uploads

    def put_upload(self, nonce: Opaque, sealed: bytes, at: int) -> int:
        """A consent given: pending until its receipt. Returns its row."""
        cursor = self._db.execute(
            "INSERT INTO upload (nonce, sealed, created, state) VALUES (?, ?, ?, 'pending')", (nonce, sealed, at)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def uploads(self) -> list[StoredUpload]:
        """Oldest first."""
        rows = self._db.execute("SELECT id, nonce, sealed, created, state, problem, tier FROM upload ORDER BY id")
        return [
            StoredUpload(row, Opaque(nonce), sealed, created, state, problem, None if tier is None else Tier(tier))
            for row, nonce, sealed, created, state, problem, tier in rows
        ]

    def close_upload(self, upload: int, state: str, problem: str, tier: Tier | None) -> None:
        self._db.execute(
            "UPDATE upload SET sealed = NULL, state = ?, problem = ?, tier = ? WHERE id = ?",
            (state, problem, tier, upload),
        )

    def revoke_uploads_of(self, secrets: Iterable[bytes]) -> None:
        """The authority took back keys that were ours: the case they were published for is none."""
        self._db.executemany(
            "UPDATE upload SET state = 'revoked' WHERE state = 'accepted' AND id IN "
            "(SELECT upload FROM own_key WHERE secret = ?)",
            [(secret,) for secret in secrets],
        )

    # diagnosis keys and matches

    def put_match(self, key: DiagnosisKey, published: int, encounters: Iterable[int]) -> None:
        """A published key and the rows of the encounters it explains. A key that is known keeps its first record,
        but a nearer tier wins: who was F1 and becomes F0 publishes again."""
        (row,) = self._db.execute(
            'INSERT INTO diagnosis_key (protocol, secret, start, "end", tier, report_type, days_since_onset, published)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (secret) DO UPDATE SET tier = min(tier, excluded.tier), "
            'report_type = excluded.report_type, "end" = max("end", excluded."end") RETURNING id',
            (key.protocol, key.secret, key.start, key.end, key.tier, key.report_type, key.days_since_onset, published),
        ).fetchone()
        self._db.executemany(
            "INSERT OR IGNORE INTO match (diagnosis_key, encounter) VALUES (?, ?)", [(row, e) for e in encounters]
        )

    def diagnosis_secrets(self) -> set[bytes]:
        """Of the published keys that were met."""
        return {secret for (secret,) in self._db.execute("SELECT secret FROM diagnosis_key")}

    def revoke(self, protocol: str, secret: bytes) -> bool:
        """Forget a key and its matches. True when it was known."""
        cursor = self._db.execute("DELETE FROM diagnosis_key WHERE secret = ? AND protocol = ?", (secret, protocol))
        return cursor.rowcount > 0

    def matches(self) -> list[MatchedKey]:
        """Every matched key with its encounters in order of time."""
        found = []
        keys = self._db.execute(
            'SELECT id, protocol, secret, start, "end", tier, report_type, days_since_onset, published '
            "FROM diagnosis_key ORDER BY start, id"
        ).fetchall()
        for row, protocol, secret, start, end, tier, report_type, onset, published in keys:
            key = DiagnosisKey(protocol, Opaque(secret), start, end, Tier(tier), ReportType(report_type), onset)
            rows = self._db.execute(
                f"SELECT {_ENCOUNTER} FROM encounter e JOIN match m ON m.encounter = e.id "
                "WHERE m.diagnosis_key = ? ORDER BY e.start, e.id",
                (row,),
            )
            found.append(MatchedKey(key, published, tuple(_encounter(r) for r in rows)))
        return found

    # what was applied

    def batch_digest(self, sequence: int) -> bytes | None:
        """SHA-256 of the applied export of that number; None when it was not applied or is past retention."""
        row = self._db.execute("SELECT sha256 FROM batch WHERE sequence = ?", (sequence,)).fetchone()
        return None if row is None else bytes(row[0])

    def put_batch(self, sequence: int, sha256: bytes, published: int, at: int) -> None:
        self._db.execute("INSERT INTO batch VALUES (?, ?, ?, ?)", (sequence, sha256, published, at))

    def put_fact(self, name: str, value: int, body: bytes | None = None) -> None:
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (name, value, body))

    def fact(self, name: str) -> tuple[int, bytes | None] | None:
        row = self._db.execute("SELECT value, body FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else (row[0], row[1])

    # forgetting

    def erase(self) -> None:
        """All that tells of the carrier and of whom they met, whatever its age. What was applied of the authority's
        lists stays, or an old list would be believed again."""
        for table in ("encounter", "own_key", "diagnosis_key", "upload"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("DELETE FROM fact WHERE name = 'acknowledged'")

    def erase_encounters(self, since: int) -> None:
        """Those that went on at or after `since` (ms), and matches that nothing supports any more."""
        self._db.execute('DELETE FROM encounter WHERE "end" >= ?', (since,))
        self._db.execute("DELETE FROM diagnosis_key WHERE id NOT IN (SELECT diagnosis_key FROM match)")

    def erase_own_key(self, protocol: str, key: DailyKey) -> None:
        """One own key that has not left the device."""
        self._db.execute(
            "DELETE FROM own_key WHERE protocol = ? AND secret = ? AND start = ? AND upload IS NULL",
            (protocol, key.secret, key.start),
        )

    def scrub(self) -> None:
        """Empty the write-ahead log, where what was erased stands until it is overwritten. StoreError when SQLite
        fails."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the database refuses to write: {error}") from error

    # retention

    def prune(self, before: int) -> None:
        """The one place where anything is forgotten for its age: all that ended before `before` (ms)."""
        self._db.execute('DELETE FROM encounter WHERE "end" < ?', (before,))
        self._db.execute('DELETE FROM own_key WHERE "end" < ?', (before,))
        self._db.execute('DELETE FROM diagnosis_key WHERE "end" < ?', (before,))
        self._db.execute("DELETE FROM upload WHERE created < ?", (before,))
        self._db.execute("DELETE FROM batch WHERE applied < ?", (before,))


def flaw(path: Path) -> str:
    """What is wrong with the database at `path`, in SQLite's words; empty when it is whole. Changes nothing, and may be
    asked while a daemon works with it. PermissionError when it may not be read."""
    try:
        path.open("rb").close()
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            db.close()
    except (sqlite3.Error, FileNotFoundError) as error:
        return str(error)
    return "" if said == "ok" else str(said)


_ENCOUNTER = 'e.protocol, e.rolling_id, e.metadata, e.start, e."end", e.minutes'


def _encounter(row: tuple[str, bytes, bytes | None, int, int, bytes]) -> Encounter:
    protocol, rolling_id, metadata, start, end, minutes = row
    payload = Payload(Opaque(rolling_id), None if metadata is None else Opaque(metadata))
    return Encounter(protocol, payload, start, end, unpack_minutes(minutes, start))
