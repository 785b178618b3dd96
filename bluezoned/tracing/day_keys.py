"""The keys of the days, in the database, each sealed under the outer key. To delete one is to shred its day."""

from __future__ import annotations

import sqlite3

from bluezoned.errors import StoreError
from bluezoned.protocols.protocol import Random
from bluezoned.tracing.sealing import DamagedStoreError, Seal, new_key

_PROOF = b"bluezoned"


class DayKeys:
    """Seals by UTC day (since 1970)."""

    def __init__(self, db: sqlite3.Connection, key: bytes, random: Random) -> None:
        self._db = db
        self._outer = Seal(key, random)
        self._random = random
        self._seals: dict[int, Seal] = {}

    def prove(self) -> None:
        """StoreError when the database was sealed under another outer key; a new one is given its proof."""
        row = self._db.execute("SELECT body FROM fact WHERE name = 'proof of key'").fetchone()
        if row is None:
            proof = self._outer.seal(_PROOF, "proof")
            self._db.execute("INSERT INTO fact VALUES ('proof of key', 0, ?)", (proof,))
            return
        try:
            self._outer.open(row[0], "proof")
        except DamagedStoreError as error:
            raise StoreError(
                "the database was sealed with another key: put the old key back, or move the database away to begin "
                "anew"
            ) from error

    def of(self, day: int) -> Seal:
        """The day's seal; its key is made and stored first if there is none."""
        seal = self._seals.get(day)
        if seal is not None:
            return seal
        row = self._db.execute("SELECT sealed FROM day_key WHERE day = ?", (day,)).fetchone()
        if row is None:
            key: bytes = new_key(self._random)
            self._db.execute("INSERT INTO day_key VALUES (?, ?)", (day, self._outer.seal(key, f"key {day}")))
        else:
            key = self._outer.open(row[0], f"key {day}")
        self._seals[day] = Seal(key, self._random)
        return self._seals[day]

    def shred(self, before: int) -> None:
        """The keys of all days before."""
        self._db.execute("DELETE FROM day_key WHERE day < ?", (before,))
        self.forget()

    def shred_all(self) -> None:
        self._db.execute("DELETE FROM day_key")
        self.forget()

    def forget(self) -> None:
        """What is known is what the database says: for a transaction that failed."""
        self._seals.clear()
