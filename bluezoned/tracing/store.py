"""The device's memory: one SQLite file, WAL, one transaction a tick. With day_keys and archive all of the device's SQL.

Keeps encounters, own keys, matched diagnosis keys, what was applied and what was sent; what tells of anybody is sealed
by the day (docs/storage.md). Retention is enforced by `prune` alone. Never logs, never reads the clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Random, ReportType, Tier
from bluezoned.tracing import schema
from bluezoned.tracing.archive import Archive
from bluezoned.tracing.block import Kept
from bluezoned.tracing.day_keys import DayKeys
from bluezoned.tracing.encounter import MINUTE_SIZE, Encounter
from bluezoned.tracing.sealing import DamagedStoreError
from bluezoned.tracing.sighted import Sighted


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

    def __init__(self, path: Path, key: bytes, random: Random) -> None:
        """Opens or creates `path` (mode 0600), sealed under `key` (32 bytes). DamagedStoreError when the file is not
        what was written, StoreError when it cannot be opened, is of a later version or sealed under another key."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            # A second: nobody else writes here, and the radio waits meanwhile. What fails is tried again each minute.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1)
            try:
                self._open(key, random)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"cannot open the database {path}: {error}") from error
            raise DamagedStoreError(f"the database {path} is damaged: {error}") from error
        except OSError as error:
            raise StoreError(f"cannot open the database {path}: {error.strerror}") from error

    def _open(self, key: bytes, random: Random) -> None:
        db = self._db
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError("the database cannot be written: check the disk")
        # FULL: one fsync a transaction, which is one a minute, and a pulled plug loses no committed encounter.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA cache_size = -512")  # KiB; pages are written once and read at the start: 2 MB would lie idle
        problems = db.execute("PRAGMA quick_check(1)").fetchone()
        if problems != ("ok",):
            raise DamagedStoreError("the database is damaged: SQLite's check of the file fails")
        self._keys = DayKeys(db, key, random)
        self._lift()
        self._keys.prove()
        self._archive = Archive(db, self._keys)
        self._is_behind = False

    def _lift(self) -> None:
        version = schema.version(self._db)
        if version == len(schema.MIGRATIONS):
            return
        self._db.execute("BEGIN IMMEDIATE")
        for to in range(version + 1, len(schema.MIGRATIONS) + 1):
            schema.lift(self._db, to)
            if to == schema.SEALED and version:
                self._seal_old_rows()
        self._db.execute("COMMIT")
        if version:
            # The plain rows of old must not stay behind in the log or in free pages.
            self._db.execute("VACUUM")
            self.scrub()

    def _seal_old_rows(self) -> None:
        """From version 1, which sealed nothing."""
        db = self._db
        self._archive = Archive(db, self._keys)
        numbers = {}
        rows = db.execute('SELECT id, protocol, rolling_id, metadata, start, "end", minutes FROM encounter')
        for row, protocol, rolling_id, metadata, start, end, minutes in rows.fetchall():
            kept = Kept(protocol, rolling_id, metadata, start, end, _of_today(minutes))
            self._archive.put([kept.encounter()])
            place = self._archive.sighted(protocol).place(rolling_id, start)
            assert place is not None
            numbers[row] = place.row
        own = 'SELECT protocol, secret, "order", start, "end", upload FROM old_own_key ORDER BY id'
        for protocol, secret, order, start, end, upload in db.execute(own).fetchall():
            row = self.put_own_key(protocol, DailyKey(Opaque(secret), start, end, Opaque(order)))
            db.execute("UPDATE own_key SET upload = ? WHERE id = ?", (upload, row))
        for row, *values in db.execute("SELECT * FROM old_diagnosis_key").fetchall():
            protocol, secret, start, end, tier, report_type, onset, published = values
            key = DiagnosisKey(protocol, Opaque(secret), start, end, Tier(tier), ReportType(report_type), onset)
            old = "SELECT encounter FROM old_match WHERE diagnosis_key = ?"
            met = [numbers[encounter] for (encounter,) in db.execute(old, (row,)).fetchall()]
            self.put_match(key, published, met)

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
            self._catch_up()
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            self._is_behind = True
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"the database refuses to write: {error}") from error
            raise

    def _catch_up(self) -> None:
        """A transaction that failed left memory ahead of the file: the file is right."""
        if self._is_behind:
            self._keys.forget()
            self._archive.load()
            self._is_behind = False

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """StoreError when SQLite fails."""
        try:
            if not self._db.in_transaction:
                self._catch_up()
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the database refuses to be read: {error}") from error

    # encounters

    def put_encounters(self, encounters: Iterable[Encounter]) -> None:
        """Insert or bring up to date, by protocol, rolling id and start."""
        with self.transaction():
            self._archive.put(encounters)

    def encounters(self, start: int, end: int) -> list[Encounter]:
        """Those that began in [start, end) ms, in order."""
        with self._reading():
            return self._archive.encounters(start, end)

    def held(self, numbers: Iterable[int]) -> list[int]:
        """Those of the encounters' numbers that are still there."""
        with self._reading():
            return self._archive.held(numbers)

    def sighted(self, protocol: str) -> Sighted:
        """What matching looks in."""
        with self._reading():
            return self._archive.sighted(protocol)

    # own keys

    def put_own_key(self, protocol: str, key: DailyKey) -> int:
        """Returns its row."""
        with self.transaction():
            day = key.start // DAY
            sealed = self._keys.of(day).seal(msgspec.msgpack.encode((bytes(key.secret), bytes(key.order))), "own")
            row = self._db.execute(
                'INSERT INTO own_key (day, protocol, sealed, start, "end") VALUES (?, ?, ?, ?, ?) RETURNING id',
                (day, protocol, sealed, key.start, key.end),
            ).fetchone()
            return int(row[0])

    def own_keys(self, protocol: str) -> list[DailyKey]:
        """Oldest first."""
        return [key.key for key in self._own() if key.protocol == protocol]

    def own_secrets(self) -> set[bytes]:
        return {key.key.secret for key in self._own()}

    def _own(self) -> list[_OwnKey]:
        with self._reading():
            rows = self._db.execute(
                'SELECT id, day, protocol, sealed, start, "end", upload FROM own_key ORDER BY start, id'
            ).fetchall()
            found = []
            for row, day, protocol, sealed, start, end, upload in rows:
                secret, order = _SECRETS.decode(self._keys.of(day).open(sealed, "own"))
                found.append(_OwnKey(row, protocol, DailyKey(Opaque(secret), start, end, Opaque(order)), upload))
            return found

    def _own_row(self, protocol: str, key: DailyKey) -> _OwnKey | None:
        secret = (protocol, key.secret, key.start)
        return next((own for own in self._own() if (own.protocol, own.key.secret, own.key.start) == secret), None)

    def bind_own_keys(self, protocol: str, upload: int, cut: int, keys: Iterable[DailyKey]) -> None:
        """These own keys go with `upload`; none of them is used beyond `cut` (ms)."""
        bound = [own for own in (self._own_row(protocol, key) for key in keys) if own is not None]
        self._db.executemany(
            'UPDATE own_key SET upload = ?, "end" = min("end", ?) WHERE id = ?',
            [(upload, cut, own.row) for own in bound],
        )

    def is_published(self, protocol: str, key: DailyKey) -> bool:
        """Whether the key has left the device in an upload, whatever became of it."""
        own = self._own_row(protocol, key)
        return own is not None and own.upload is not None

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
        revoked = set(secrets)
        self._db.executemany(
            "UPDATE upload SET state = 'revoked' WHERE state = 'accepted' AND id = ?",
            [(own.upload,) for own in self._own() if own.key.secret in revoked],
        )

    # diagnosis keys and matches

    def put_match(self, key: DiagnosisKey, published: int, encounters: Iterable[int]) -> None:
        """A published key and the numbers of the encounters it explains. A key that is known keeps its first record,
        but a nearer tier wins: who was F1 and becomes F0 publishes again."""
        with self.transaction():
            known = next((met for met in self._met() if met.key.secret == key.secret), None)
            if known is not None:
                first = known.key
                tier, end = min(first.tier, key.tier), max(first.end, key.end)
                loudness = first.loudness if key.loudness is None else key.loudness
                key = replace(first, tier=tier, report_type=key.report_type, end=end, loudness=loudness)
                published = known.published
                self._db.execute("UPDATE diagnosis_key SET day = ?, sealed = ? WHERE id = ?",
                                 (*self._sealed_key(key, published), known.row))  # fmt: skip
                row = known.row
            else:
                insert = "INSERT INTO diagnosis_key (day, sealed) VALUES (?, ?) RETURNING id"
                (row,) = self._db.execute(insert, self._sealed_key(key, published)).fetchone()
            self._db.executemany(
                "INSERT OR IGNORE INTO match (diagnosis_key, encounter) VALUES (?, ?)", [(row, e) for e in encounters]
            )

    def _sealed_key(self, key: DiagnosisKey, published: int) -> tuple[int, bytes]:
        """The day on which it is forgotten with, and the key."""
        day = (key.end - 1) // DAY
        secret, tier, report_type = bytes(key.secret), int(key.tier), int(key.report_type)
        values = (key.protocol, secret, key.start, key.end, tier, report_type, key.days_since_onset, key.loudness)
        return day, self._keys.of(day).seal(msgspec.msgpack.encode((*values, published)), "met")

    def _met(self) -> list[_MetKey]:
        with self._reading():
            rows = self._db.execute("SELECT id, day, sealed FROM diagnosis_key").fetchall()
            found = []
            for row, day, sealed in rows:
                values = _MET.decode(self._keys.of(day).open(sealed, "met"))
                protocol, secret, start, end, tier, report_type, onset, loudness, published = values
                reported = Tier(tier), ReportType(report_type)
                key = DiagnosisKey(protocol, Opaque(secret), start, end, *reported, onset, loudness)
                found.append(_MetKey(row, key, published))
            return sorted(found, key=lambda met: (met.key.start, met.row))

    def diagnosis_secrets(self) -> set[bytes]:
        """Of the published keys that were met."""
        return {met.key.secret for met in self._met()}

    def revoke(self, protocol: str, secret: bytes) -> bool:
        """Forget a key and its matches. True when it was known."""
        rows = [(met.row,) for met in self._met() if (met.key.protocol, met.key.secret) == (protocol, secret)]
        self._db.executemany("DELETE FROM diagnosis_key WHERE id = ?", rows)
        return bool(rows)

    def matches(self) -> list[MatchedKey]:
        """Every matched key with its encounters in order of time."""
        with self._reading():
            numbers: dict[int, list[int]] = {}
            for row, number in self._db.execute("SELECT diagnosis_key, encounter FROM match").fetchall():
                numbers.setdefault(row, []).append(number)
            return [
                MatchedKey(met.key, met.published, tuple(self._archive.numbered(numbers.get(met.row, []))))
                for met in self._met()
            ]

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
        for table in ("own_key", "diagnosis_key", "upload"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("DELETE FROM fact WHERE name = 'acknowledged'")
        self._archive.erase()
        self._keys.shred_all()

    def erase_encounters(self, since: int) -> None:
        """Those that went on at or after `since` (ms), and matches that nothing supports any more."""
        erased = self._archive.erase_since(since)
        self._db.executemany("DELETE FROM match WHERE encounter = ?", [(number,) for number in erased])
        self._db.execute("DELETE FROM diagnosis_key WHERE id NOT IN (SELECT diagnosis_key FROM match)")

    def erase_own_key(self, protocol: str, key: DailyKey) -> None:
        """One own key that has not left the device."""
        own = self._own_row(protocol, key)
        if own is not None and own.upload is None:
            self._db.execute("DELETE FROM own_key WHERE id = ?", (own.row,))

    def scrub(self) -> None:
        """Empty the write-ahead log, where what was erased stands until it is overwritten. StoreError when SQLite
        fails."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the database refuses to write: {error}") from error

    # retention

    def prune(self, before: int) -> None:
        """The one place where anything is forgotten for its age: the UTC days that ended by `before` (ms), with the
        keys that sealed them, and what was sent and applied before. Days that are over by a day are packed."""
        day = before // DAY
        with self.transaction():
            self._archive.drop(day)
            self._db.execute("DELETE FROM own_key WHERE day < ?", (day,))
            self._db.execute("DELETE FROM diagnosis_key WHERE day < ?", (day,))
            self._db.execute("DELETE FROM upload WHERE created < ?", (before,))
            self._db.execute("DELETE FROM batch WHERE applied < ?", (before,))
            self._db.execute("DELETE FROM fact WHERE name IN ('log fork', 'log before fork') AND value < ?", (before,))
            self._keys.shred(day)

    def pack(self, before: int) -> None:
        """Write the encounters of UTC days that ended by `before` (ms) anew, smaller: nothing is added to them."""
        with self.transaction():
            self._archive.pack(before // DAY)


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


def _of_today(minutes: bytes) -> bytes:
    """Packed minutes of version 1, where the last of the six bytes counted tenths of a dB and had no sign."""
    changed = bytearray(minutes)
    changed[5::MINUTE_SIZE] = bytes(tenths // 2 for tenths in minutes[5::MINUTE_SIZE])
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class _OwnKey:
    row: int
    protocol: str
    key: DailyKey
    upload: int | None


@dataclass(frozen=True, slots=True)
class _MetKey:
    row: int
    key: DiagnosisKey
    published: int


_SECRETS = msgspec.msgpack.Decoder(tuple[bytes, bytes])
_MET = msgspec.msgpack.Decoder(tuple[str, bytes, int, int, int, int, int | None, int | None, int])
