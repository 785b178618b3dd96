"""Publishing: signed, immutable batches and a signed index, in a directory that any web server can serve.

A batch's file is complete on disk before the database lists it, and the index is written from the database alone: a
process killed at any point leaves at worst a file that nobody lists, which the next run removes. What a lost file told
is told again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bluezoned import key_export, key_index, upload
from bluezoned.authority import sign_in
from bluezoned.authority.authority import Secrets
from bluezoned.authority.staff_store import StaffRecords
from bluezoned.authority.store import Store, WaitingKey
from bluezoned.errors import StoreError
from bluezoned.key_export import KeyExport
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY

INDEX = "index"
MOST_KEYS = 400_000
"""Keys of one batch, new and taken back together; boxes refuse files beyond 24 MiB or 32 MiB unpacked, and a key takes
up to 55 bytes. What remains goes into a further batch."""


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
    index_lifetime: int = 14 * DAY
    """ms; an index that is not renewed for so long is worth nothing."""

    def publish(self, at: int) -> Published:
        """Publish what is due at `at` (ms), forget what is past retention, renew the index. StoreError when the disk
        or the database fails; nothing half done is listed then."""
        try:
            (self.directory / "batches").mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._withdraw_lost()
                done = [run for name in registry.NAMES for run in self._publish_protocol(name, at)]
                self._renew_index(at)
        except OSError as error:
            raise StoreError(f"cannot write what is published: {error.strerror}") from error
        return Published(len(done), sum(run.keys for run in done), sum(run.revoked for run in done))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One run at a time, whoever starts it, without holding the database while files are written. The kernel lets
        go of the lock of a process that is killed."""
        with (self.directory / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _withdraw_lost(self) -> None:
        """Batches whose files are gone or cut short (a restored backup, a careless hand) would stop every box that
        fetches in order."""
        with self.store.snapshot() as seen:
            lost = [batch.sequence for batch in seen.batches() if not self._is_whole(batch)]
        if lost:
            with self.store.transaction() as transaction:
                for sequence in lost:
                    transaction.withdraw_batch(sequence)

    def _is_whole(self, batch: Batch) -> bool:
        try:
            return (self.directory / "batches" / batch.name).stat().st_size == batch.size
        except FileNotFoundError:
            return False

    def _publish_protocol(self, protocol: str, at: int) -> Iterator[Published]:
        """One batch after another until nothing is due."""
        while True:
            try:
                published = self._publish_batch(protocol, at)
            except _OvertakenError:
                continue
            if published is None:
                return
            yield published

    def _publish_batch(self, protocol: str, at: int) -> Published | None:
        # Embargo: until the last sighting that counts has passed, a published key could be broadcast by anybody.
        embargo = registry.by_name(protocol).tolerance
        with self.store.snapshot() as seen:
            # What is taken back goes first: a false alarm must not wait behind new keys.
            back = seen.waiting_revocations(protocol, MOST_KEYS)
            waiting = seen.waiting_keys(protocol, at - embargo, MOST_KEYS - len(back))
            sequence, previous = seen.fact("newest batch") + 1, seen.fact(f"published {protocol}")
        if not waiting and not back:
            return None
        # Exports tell whole seconds; rounded up, so that nothing received before lies after. Never before the last
        # one's end, though the clock may have been put back.
        end = max(-(-at // 1000) * 1000, previous)
        batch = self._write_batch(protocol, sequence, (previous or end - DAY, end), waiting, back)
        with self.store.transaction() as transaction:
            if transaction.mark_published((key.row for key in waiting), sequence) != len(waiting):
                raise _OvertakenError  # and rolled back; the file is listed by nobody and goes with the leftovers
            transaction.mark_revoked((key.row for key in back), sequence)
            transaction.put_batch(batch)
        return Published(1, len(waiting), len(back))

    def _write_batch(
        self, protocol: str, sequence: int, window: tuple[int, int], waiting: list[WaitingKey], back: list[WaitingKey]
    ) -> Batch:
        # The same secret under two cases goes out once, at the nearer tier.
        nearest = {bytes(w.key.secret): w.key for w in sorted(waiting, key=lambda w: -w.key.tier)}
        taken = {bytes(w.key.secret): w.key for w in back}
        keys, revoked = tuple(nearest.values()), tuple(taken.values())
        export = KeyExport(protocol, sequence, *window, self.region, keys, revoked)
        content = key_export.write(export, self.secrets.signing_key, self.name)
        digest = hashlib.sha256(content).digest()
        name = f"{protocol}-{sequence:08d}-{digest[:8].hex()}.zip"
        write_whole(self.directory / "batches" / name, content)
        return Batch(sequence, name, len(content), digest, protocol, *window)

    def _renew_index(self, at: int) -> None:
        with self.store.transaction() as transaction:
            transaction.prune(at - self.retention)
            StaffRecords(transaction.connection).prune(at, at - sign_in.LONGEST)
            # Boxes refuse an index older than one they have seen: a clock put back must not silence the authority.
            issued = max(at, transaction.fact("index issued"))
            transaction.put_fact("index issued", issued)
            batches, newest = transaction.batches(), transaction.fact("newest batch")
        self._write_index(batches, newest, issued)
        self._remove_unlisted({batch.name for batch in batches})

    def _write_index(self, batches: list[Batch], newest: int, issued: int) -> None:
        index = KeyIndex(
            authority=self.name,
            sequence=newest,
            issued=issued,
            expires=issued + self.index_lifetime,
            sealing_key=upload.public_sealing_key(self.secrets.sealing_key),
            batches=tuple(batches),
        )
        write_whole(self.directory / INDEX, key_index.write(index, self.secrets.signing_key))

    def _remove_unlisted(self, listed: set[str]) -> None:
        for path in (self.directory / "batches").iterdir():
            if path.name not in listed:
                path.unlink(missing_ok=True)
        for path in self.directory.glob(f".{INDEX}.*"):
            path.unlink(missing_ok=True)


class _OvertakenError(Exception):
    """A key was revoked while the batch with it was being written."""


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
