"""An authority on a real database in a temporary directory, for tests that push the time by hand."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bluezoned import key_export, key_index, upload
from bluezoned.authority.database import METADATA
from bluezoned.authority.house import open_house
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.upload import Receipt, Upload

MIDNIGHT = 20_760 * DAY
NOON = MIDNIGHT + 12 * HOUR


class Ward:
    """An authority with its directory, as staff and boxes use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        house = open_house(directory, os.urandom)
        self.house = house
        self.database = house.database
        self.authority, self.publisher, self.store = house.authority, house.publisher, house.store
        self.public_key = house.secrets.signing_key.public_key()
        self.sealing_key = upload.public_sealing_key(house.secrets.sealing_key)

    def seal(self, message: Upload) -> bytes:
        return upload.seal(message, self.sealing_key)

    def send(self, message: Upload, at: int) -> Receipt:
        return upload.read_receipt(self.authority.accept(self.seal(message), at), self.public_key)

    def code(self, tier: Tier = Tier.F0, at: int = NOON, kind: Kind = Kind.SHORT, source: str | None = None) -> str:
        case = self.authority.open_case(tier, at, source)
        return self.authority.issue_code(case.id, kind, at).code

    def issue(self, case: str, at: int = NOON) -> str:
        return self.authority.issue_code(case, Kind.SHORT, at).code

    def send_for(self, case: str, *keys: DiagnosisKey, at: int = NOON) -> Receipt:
        return self.send(message(self.issue(case, at), *keys), at)

    @property
    def files(self) -> Path:
        return self.directory / "public" / "batches"

    def everything(self) -> bytes:
        """Every row of every table, as text."""
        with self.database.reading() as seen:
            rows = [tuple(row) for table in METADATA.sorted_tables for row in seen.execute(table.select())]
        return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)

    def index(self) -> key_index.KeyIndex:
        return key_index.read((self.directory / "public" / "index").read_bytes(), self.public_key)

    def exports(self) -> list[key_export.KeyExport]:
        return [key_export.read((self.files / b.name).read_bytes(), self.public_key) for b in self.index().batches]

    def require_whole(self) -> None:
        """What is published is complete: no gap, no number twice, no stray file, every digest and signature right."""
        index = self.index()
        assert [batch.sequence for batch in index.batches] == list(range(1, index.sequence + 1))
        assert {path.name for path in self.files.iterdir()} == {batch.name for batch in index.batches}
        for batch, export in zip(index.batches, self.exports(), strict=True):
            assert hashlib.sha256((self.files / batch.name).read_bytes()).digest() == batch.sha256
            assert (export.sequence, export.protocol) == (batch.sequence, batch.protocol)


def key(start: int = MIDNIGHT - DAY, length: int = DAY, protocol: str = "bluezone") -> DiagnosisKey:
    return DiagnosisKey(protocol, Opaque(os.urandom(registry.by_name(protocol).key_size)), start, start + length)


def message(code: str, *keys: DiagnosisKey) -> Upload:
    return Upload(code, keys or (key(),), Opaque(os.urandom(16)))
