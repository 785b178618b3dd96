"""Publishing: signed, immutable batches and a signed index, on a shelf that any web server or CDN can serve.

A batch's file is whole on the shelf before the database lists it, and the index is written from the database alone: a
process killed at any point leaves at worst a file that nobody lists, which a later run removes. What a lost file told
is told again. Any number of workers may try; a lease in the database lets one publish at a time, and whoever lost it
can list nothing any more.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bluezoned import key_export, key_index, key_rotation, transparency_log, upload
from bluezoned.authority import log, padding, sign_in
from bluezoned.authority.authority import Secrets
from bluezoned.authority.exchange_store import ExchangeRecords
from bluezoned.authority.hearing_store import Hearings
from bluezoned.authority.key_store import KeyRecords, Waiting
from bluezoned.authority.log_store import LogRecords
from bluezoned.authority.shelf import BATCHES, INDEX, LEAVES, LOG, Shelf, ShelfError
from bluezoned.authority.staff_store import StaffRecords
from bluezoned.authority.store import Store, Transaction
from bluezoned.errors import AuthorityError
from bluezoned.key_export import KeyExport
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Random
from bluezoned.signed_document import DocumentError
from bluezoned.transparency_log import LoggedBatch

LEASE = 5 * 60_000
"""ms that one run may take: ten times what a million keys need, and longer than a bucket may keep us waiting. A worker
that is killed holds up the others for so long at most."""

MOST_KEYS = 200_000
"""Keys of one batch, new and taken back together; what remains goes into a further batch. Twice as many take 300 MB
while they are written; boxes would take 600,000."""

_LEASE_NAME = "publish"


@dataclass(frozen=True, slots=True)
class Published:
    """What one run added."""

    batches: int
    keys: int
    """Padding not counted."""
    revoked: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How an authority publishes."""

    name: str
    """The authority's, as key id in signatures."""
    region: str
    least_keys: int
    """A batch with fewer new keys is filled up with random ones."""
    retention: int = 14 * DAY
    """ms; after that, batches, keys and all that led to them are forgotten."""
    index_lifetime: int = 14 * DAY
    """ms; an index that is not renewed for so long is worth nothing."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Turns what was accepted into files on the shelf."""

    store: Store
    secrets: Secrets
    shelf: Shelf
    manner: Manner
    random: Random

    def publish(self, at: int, due: int | None = None) -> Published | None:
        """Publish what is due at `at` (ms), forget what is past retention, renew the index; nothing when another worker
        has done so since `due` (ms). None when another worker is at it. StoreError when the shelf or the database
        fails; nothing half done is listed then. StaleKeyError when the authority signs with another key by now."""
        holder = self.random(16)
        with self.store.transaction() as transaction:
            if not transaction.take_lease(_LEASE_NAME, holder, at, at + LEASE):
                return None
            if due is not None and transaction.fact("index issued") >= due:
                transaction.give_lease_back(_LEASE_NAME, holder)
                return Published(0, 0, 0)
        try:
            return _Run(self, holder, at).publish()
        except OvertakenError:
            return None
        finally:
            with self.store.transaction() as transaction:
                transaction.give_lease_back(_LEASE_NAME, holder)


class StaleKeyError(AuthorityError):
    """This worker has a signing key that was replaced: it must be started again."""


class OvertakenError(Exception):
    """The lease ran out and another worker has it."""


def _once(keys: list[DiagnosisKey]) -> tuple[DiagnosisKey, ...]:
    """The same secret under two cases goes out once, at the nearer tier."""
    if len({key.secret for key in keys}) == len(keys):
        return tuple(keys)
    return tuple({key.secret: key for key in sorted(keys, key=lambda key: -key.tier)}.values())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles of objects: nothing here makes any, and to look through some hundred thousand keys
    again and again took two fifths of a batch's time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _RevokedError(Exception):
    """What was to be told changed while the batch with it was being written."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One publishing run, under a lease."""

    of: Publisher
    holder: bytes
    at: int

    def publish(self) -> Published:
        self._require_current_key()
        self._take_back_the_log()
        self._withdraw_lost()
        done = [batch for name in registry.NAMES for batch in self._publish_protocol(name)]
        self._renew_index()
        return Published(len(done), sum(run.keys for run in done), sum(run.revoked for run in done))

    def _require_lease(self, transaction: Transaction) -> None:
        if not transaction.holds_lease(_LEASE_NAME, self.holder):
            raise OvertakenError

    def _require_current_key(self) -> None:
        """A worker that was not told of a rotation would sign what boxes no longer believe."""
        with self.of.store.snapshot() as seen:
            rotations = seen.rotations()
        if rotations and rotations[-1].new != key_rotation.point(self.of.secrets.signing_key.public_key()):
            raise StaleKeyError("the signing key has been replaced: start this worker again with the new one")

    def _withdraw_lost(self) -> None:
        """Batches whose files are gone or cut short (a restored backup, a careless hand) would stop every box that
        fetches in order."""
        with self.of.store.snapshot() as seen:
            batches = seen.batches()
        there = self.of.shelf.batches()
        lost = [batch.sequence for batch in batches if there.get(batch.name) != batch.size]
        if lost:
            with self.of.store.transaction() as transaction:
                self._require_lease(transaction)
                for sequence in lost:
                    transaction.withdraw_batch(sequence)

    def _publish_protocol(self, protocol: str) -> Iterator[Published]:
        """One batch after another until nothing is due."""
        while True:
            try:
                published = self._publish_batch(protocol)
            except _RevokedError:
                continue
            if published is None:
                return
            yield published

    def _publish_batch(self, protocol: str) -> Published | None:
        with _uncollected():
            return self._publish_some(protocol)

    def _publish_some(self, protocol: str) -> Published | None:
        # Embargo: until the last sighting that counts has passed, a published key could be broadcast by anybody.
        ended_before = self.at - registry.by_name(protocol).tolerance
        with self.of.store.snapshot() as seen:
            # What is taken back goes first: a false alarm must not wait behind new keys.
            keys = KeyRecords(seen.connection)
            back = keys.waiting_revocations(protocol, MOST_KEYS)
            new = keys.waiting(protocol, ended_before, MOST_KEYS - len(back.keys))
            louder = Hearings(seen.connection).waiting(protocol, MOST_KEYS - len(back.keys) - len(new.keys))
            sequence, previous = seen.fact("newest batch") + 1, seen.fact(f"published {protocol}")
        if not (new.keys or back.keys or louder):
            return None
        # Exports tell whole seconds; rounded up, so that nothing received before lies after. Never before the last
        # one's end, though the clock may have been put back.
        end = max(-(-self.at // 1000) * 1000, previous)
        batch = self._write_batch(protocol, sequence, (previous or end - DAY, end), new, back, louder)
        with self.of.store.transaction() as transaction:
            self._require_lease(transaction)
            transaction.put_batch(batch)
            keys = KeyRecords(transaction.connection)
            told = keys.tell(sequence, protocol, ended_before, new.runs)
            if told != len(new.keys) or keys.tell_revoked(sequence, protocol, back.runs) != len(back.keys):
                raise _RevokedError  # and rolled back; the file is listed by nobody and goes with the leftovers
            Hearings(transaction.connection).mark({bytes(key.secret) for key in louder}, sequence)
        return Published(1, len(new.keys), len(back.keys))

    def _write_batch(
        self,
        protocol: str,
        sequence: int,
        window: tuple[int, int],
        new: Waiting,
        back: Waiting,
        louder: list[DiagnosisKey],
    ) -> Batch:
        fresh, revoked, revised = _once(new.keys), _once(back.keys), _once(louder)
        keys = (*fresh, *self._padding(_once(new.own)))
        export = KeyExport(protocol, sequence, *window, self.of.manner.region, keys, revoked, revised)
        content = key_export.write(export, self.of.secrets.signing_key, self.of.manner.name)
        digest = hashlib.sha256(content).digest()
        name = f"{protocol}-{sequence:08d}-{digest[:8].hex()}.zip"
        self.of.shelf.put(f"{BATCHES}/{name}", content)
        return Batch(sequence, name, len(content), digest, protocol, *window)

    def _padding(self, keys: tuple[DiagnosisKey, ...]) -> Iterator[DiagnosisKey]:
        """Random keys that say of themselves what real ones say, so that a batch does not tell how few people fell ill.
        A tenth more or less by chance: who knows the floor must not see what lies on it. `keys`: of cases here.
        Imported ones hide nobody, since who reads the other authority's exports can take them away."""
        if not keys:
            return
        least = self.of.manner.least_keys
        jitter = int.from_bytes(self.of.random(4)) % (least // 10 + 1)
        for _ in range(least + jitter - len(keys)):
            # Of so few keys the remainder's bias is one in millions.
            like = keys[int.from_bytes(self.of.random(4)) % len(keys)]
            yield replace(like, secret=padding.draw(len(like.secret), self.of.secrets.pepper, self.of.random))

    def _renew_index(self) -> None:
        with self.of.store.snapshot() as seen:
            unlogged = LogRecords(seen.connection).unlogged_batches()
        told = tuple(LoggedBatch(sequence, self._signed_digest(name)) for sequence, name in unlogged)
        with self.of.store.transaction() as transaction:
            self._require_lease(transaction)
            transaction.prune(self.at - self.of.manner.retention)
            ExchangeRecords(transaction.connection).prune(self.at - self.of.manner.retention)
            LogRecords(transaction.connection).prune(self.at - self.of.manner.retention)
            StaffRecords(transaction.connection).prune(self.at, self.at - sign_in.LONGEST)
            # Boxes refuse an index older than one they have seen: a clock put back must not silence the authority.
            issued = max(self.at, transaction.fact("index issued"))
            transaction.put_fact("index issued", issued)
            index = KeyIndex(
                authority=self.of.manner.name,
                sequence=transaction.fact("newest batch"),
                issued=issued,
                expires=issued + self.of.manner.index_lifetime,
                sealing_key=upload.public_sealing_key(self.of.secrets.sealing_key),
                batches=tuple(transaction.batches()),
                rotations=tuple(transaction.rotations()[-key_rotation.MOST :]),
            )
            records = LogRecords(transaction.connection)
            log.extend(records, told, self.at, self.of.random)
            ending, tiles = log.told(records, index), list(log.tiles(records))
        # The log before the index: whoever sees a batch listed finds it told.
        for number, tile in reversed(list(enumerate(tiles))):
            if self.of.shelf.read(f"{LEAVES}/{number}") == tile:
                break
            self.of.shelf.put(f"{LEAVES}/{number}", tile)
        self.of.shelf.put(LOG, transparency_log.write(ending, self.of.secrets.signing_key))
        self.of.shelf.put(INDEX, key_index.write(index, self.of.secrets.signing_key))
        self._remove_unlisted({batch.name for batch in index.batches}, index.sequence)

    def _take_back_the_log(self) -> None:
        """A restored backup knows less than boxes have seen: neither a leaf nor a batch's number is used again."""
        content = self.of.shelf.read(LOG)
        if content is None:
            return
        try:
            published = transparency_log.read(content, self.of.secrets.signing_key.public_key())
        except DocumentError:
            return  # damaged, or of a key that was replaced since: then the database is the word
        with self.of.store.transaction() as transaction:
            self._require_lease(transaction)
            newest = log.adopt(LogRecords(transaction.connection), published)
            transaction.put_fact("newest batch", max(newest, transaction.fact("newest batch")))

    def _signed_digest(self, name: str) -> bytes:
        content = self.of.shelf.read(f"{BATCHES}/{name}")
        if content is None:
            raise ShelfError("a batch that was just published is gone; the next run publishes it again")
        return key_export.signed_digest(content)

    def _remove_unlisted(self, listed: set[str], newest: int) -> None:
        """Only up to the newest number: whatever lies beyond may be another worker's, if this one was overtaken."""
        for name in self.of.shelf.batches():
            number = name.split("-")[1:2]
            if name not in listed and not (number and number[0].isdigit() and int(number[0]) > newest):
                self.of.shelf.remove(f"{BATCHES}/{name}")
