"""Publishing: signed, immutable batches and a signed index, in a directory that any web server can serve.

A batch's file is complete on disk before the database lists it, and the index is written from the database alone: a
process killed at any point leaves at worst a file that nobody lists, which the next run removes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bluezoned import key_export, key_index, upload
from bluezoned.authority.authority import Secrets
from bluezoned.authority.store import Store, Transaction, WaitingKey
from bluezoned.errors import StoreError
from bluezoned.key_export import KeyExport
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY

INDEX = "index"
MOST_KEYS = 400_000
"""Keys of one batch, new and taken back together; boxes refuse files beyond 24 MiB or 32 MiB unpacked, and a key takes
up to 55 bytes. What remains goes into the next run's."""


@dataclass(frozen=True, slots=True)
class Published:
    """What one run added."""

    batches: int
    keys: int
    revoked: int


@dataclass(frozen=True, slots=True)
class Publisher:
    """Turns what was accepted into files below `directory`."""

    store: Store
    secrets: Secrets
    directory: Path
    name: str
    """The authority's, as key id in signatures."""
    region: str
    retention: int = 14 * DAY
    """ms; after that, batches, keys and all that led to them are forgotten."""

    def publish(self, at: int) -> Published:
        """Publish what is due at `at` (ms), forget what is past retention, renew the index. StoreError when the disk
        or the database fails; nothing half done is listed then."""
        try:
            (self.directory / "batches").mkdir(parents=True, exist_ok=True)
            published = [self._publish_protocol(name, at) for name in registry.NAMES]
            with self.store.transaction() as transaction:
                transaction.prune(at - self.retention)
                batches = transaction.batches()
                # Inside the transaction, which only one process can hold: another one's file that is written and not
                # yet listed must not be taken for a leftover, nor its index be overwritten by an older one.
                self._write_index(batches, transaction.fact("newest batch"), at)
                self._remove_unlisted({batch.name for batch in batches})
        except OSError as error:
            raise StoreError(f"cannot write what is published: {error.strerror}") from error
        done = [run for run in published if run is not None]
        return Published(len(done), sum(run.keys for run in done), sum(run.revoked for run in done))

    def _publish_protocol(self, protocol: str, at: int) -> Published | None:
        # Embargo: until the last sighting that counts has passed, a published key could be broadcast by anybody.
        embargo = registry.by_name(protocol).tolerance
        with self.store.transaction() as transaction:
            # What is taken back goes first: a false alarm must not wait behind new keys.
            back = transaction.waiting_revocations(protocol)[:MOST_KEYS]
            waiting = transaction.waiting_keys(protocol, at - embargo)[: MOST_KEYS - len(back)]
            if not waiting and not back:
                return None
            batch = self._write_batch(transaction, protocol, at, waiting, back)
            transaction.put_batch(batch)
            transaction.mark_published((key.row for key in waiting), batch.sequence)
            transaction.mark_revoked((key.row for key in back), batch.sequence)
        return Published(1, len(waiting), len(back))

    def _write_batch(
        self, transaction: Transaction, protocol: str, at: int, waiting: list[WaitingKey], back: list[WaitingKey]
    ) -> Batch:
        sequence = transaction.fact("newest batch") + 1
        # Exports tell whole seconds; rounded up, so that nothing received before lies after.
        end = -(-at // 1000) * 1000
        start = transaction.fact(f"published {protocol}") or end - DAY
        # The same secret under two cases goes out once, at the nearer tier.
        nearest = {bytes(w.key.secret): w.key for w in sorted(waiting, key=lambda w: -w.key.tier)}
        taken = {bytes(w.key.secret): w.key for w in back}
        export = KeyExport(protocol, sequence, start, end, self.region, tuple(nearest.values()), tuple(taken.values()))
        content = key_export.write(export, self.secrets.signing_key, self.name)
        digest = hashlib.sha256(content).digest()
        name = f"{protocol}-{sequence:08d}-{digest[:8].hex()}.zip"
        write_whole(self.directory / "batches" / name, content)
        return Batch(sequence, name, len(content), digest, protocol, start, end)

    def _write_index(self, batches: list[Batch], newest: int, at: int) -> None:
        index = KeyIndex(
            authority=self.name,
            sequence=newest,
            issued=at,
            expires=at + self.retention,
            sealing_key=upload.public_sealing_key(self.secrets.sealing_key),
            batches=tuple(batches),
        )
        write_whole(self.directory / INDEX, key_index.write(index, self.secrets.signing_key))

    def _remove_unlisted(self, listed: set[str]) -> None:
        for path in (self.directory / "batches").iterdir():
            if path.name not in listed:
                path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """The file appears with all of `content` or not at all, also after a power cut. OSError when it cannot."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
