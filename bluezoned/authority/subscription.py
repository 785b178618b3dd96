"""Another authority that this one follows: what is believed of it, as a box would, and taken into this one's keys.

Knows no network: cli/following fetches. What that means for both is in docs/federation.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, key_rotation, transparency_log
from bluezoned.authority.import_store import Subscription, SubscriptionRecords
from bluezoned.authority.imports import Imported, ImportRefused, Imports, require_source
from bluezoned.authority.staff import Actor
from bluezoned.authority.store import Store
from bluezoned.errors import AuthorityError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.key_index import KeyIndex
from bluezoned.protocols.protocol import Tier
from bluezoned.transparency_log import Contradiction, LogError, TransparencyLog


@dataclass(frozen=True, slots=True)
class Word:
    """What the other authority says now, believed."""

    index: KeyIndex
    log: TransparencyLog
    signer: ec.EllipticCurvePublicKey
    """Whom the pinned key leads to."""


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Whom this authority follows."""

    store: Store
    imports: Imports

    def add(self, name: str, url: str, public_key: ec.EllipticCurvePublicKey, tier: Tier | None) -> None:
        """ImportRefused when it cannot be called that, is there already, or is this authority itself."""
        require_source(name)
        self.imports.require_other(public_key)
        with self.store.transaction() as transaction:
            records = SubscriptionRecords(transaction.connection)
            if records.one(name) is not None:
                raise ImportRefused("there is a subscription of that name already: remove it first")
            records.put(name, url, key_rotation.point(public_key), tier)

    def remove(self, name: str) -> None:
        """It is followed no more; what was taken from it stays. ImportRefused when there is none."""
        with self.store.transaction() as transaction:
            if not SubscriptionRecords(transaction.connection).remove(name):
                raise ImportRefused("there is no such subscription")

    def all(self) -> list[Subscription]:
        """By name."""
        with self.store.snapshot() as seen:
            return SubscriptionRecords(seen.connection).all()

    def fork(self, name: str) -> ForkEvidence:
        """ImportRefused when there is no such subscription, or none was seen of it."""
        with self.store.snapshot() as seen:
            subscription = SubscriptionRecords(seen.connection).one(name)
        if subscription is None:
            raise ImportRefused("there is no such subscription")
        if subscription.fork is None:
            raise ImportRefused("every log that was seen of it continues the one before: there is no fork")
        return subscription.fork

    def judge(
        self, subscription: Subscription, index_content: bytes, log_content: bytes, tiles: Sequence[bytes], at: int
    ) -> Word:
        """As boxes do: DocumentError for what the pinned key, or one that it leads to, has not signed; LogError for a
        log that does not continue the one seen before, and then its bytes are kept as evidence of a fork;
        AuthorityError for an index that is older than one seen before, or has expired.

        tiles: the files of the log's archive that `wanted_tiles` asks for.
        """
        pinned = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), subscription.public_key)
        signer = key_rotation.follow(pinned, transparency_log.peek(log_content).rotations)
        log = transparency_log.read(log_content, signer)
        before = subscription.seen
        hashes = [each for tile in tiles for each in transparency_log.tile_hashes(tile)]
        try:
            seen = transparency_log.continued(log, before, hashes[before.size % transparency_log.TILE :])
        except LogError as error:
            if error.contradiction is Contradiction.FORK:
                with self.store.transaction() as transaction:
                    SubscriptionRecords(transaction.connection).keep_fork(subscription.name, log_content)
            raise
        with self.store.transaction() as transaction:
            SubscriptionRecords(transaction.connection).saw_log(subscription.name, seen, log_content)
        index = key_index.read(index_content, signer)
        if (index.sequence, index.issued) < (subscription.sequence, subscription.issued):
            raise AuthorityError("the index is older than one seen before: the server or a mirror is turned back")
        if at >= index.expires:
            raise AuthorityError("the index has expired: the other authority renews it no more")
        return Word(index, log, signer)

    def take(
        self, subscription: Subscription, word: Word, listed: key_index.Batch, file: BinaryIO, at: int
    ) -> Imported:
        """The keys of one listed batch that has not been taken. AuthorityError when it is not as listed, or does not
        stand in the log: nothing of it is taken then."""
        file.seek(0)
        if hashlib.file_digest(file, "sha256").digest() != listed.sha256:  # type: ignore[arg-type]
            raise AuthorityError("a batch is not as its index lists it")
        signers = key_rotation.signers(word.signer, word.log.rotations, listed.sequence)
        for signer in signers:
            self.imports.require_other(signer)
        batch = key_export.Batch(file, *signers)
        if batch.head.sequence != listed.sequence:
            raise AuthorityError("a batch has another number than its index says")
        if not word.log.knows(batch.digest):
            raise AuthorityError("a batch does not stand in the other authority's log: nobody else was shown it")
        actor = Actor(f"subscription {subscription.name}")
        taken = self.imports.take_batches(actor, subscription.name, [batch], at, subscription.tier)
        with self.store.transaction() as transaction:
            SubscriptionRecords(transaction.connection).took(subscription.name, listed.sequence)
        return taken

    def done(self, subscription: Subscription, word: Word, at: int) -> None:
        """All that is listed has been taken: the index counts as seen."""
        with self.store.transaction() as transaction:
            SubscriptionRecords(transaction.connection).saw_index(
                subscription.name, word.index.sequence, word.index.issued, at
            )

    def failed(self, subscription: Subscription, problem: str) -> None:
        """What was wrong with the last visit, in words; all else stays as it was."""
        with self.store.transaction() as transaction:
            SubscriptionRecords(transaction.connection).failed(subscription.name, problem)


def wanted_tiles(subscription: Subscription, log_content: bytes) -> range:
    """Which files of its archive bridge what was seen and what the log still tells; none for whoever never saw it."""
    first = transparency_log.peek(log_content).first
    seen = subscription.seen.size
    return range(seen // transparency_log.TILE, first // transparency_log.TILE) if 0 < seen < first else range(0)
