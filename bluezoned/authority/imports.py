"""Signed exports of other authorities, taken into this one's keys: its own signed and logged batches tell them on.

What that means for both, and for padding and loops, is in docs/federation.md.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_rotation
from bluezoned.authority import padding, plausibility
from bluezoned.authority.authority import Secrets
from bluezoned.authority.import_store import ImportRecords
from bluezoned.authority.staff import Actor
from bluezoned.authority.staff_store import Act, StaffRecords
from bluezoned.authority.store import Store
from bluezoned.errors import AuthorityError
from bluezoned.key_export import Batch
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier

_SOURCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,38}[a-z0-9]")


def require_source(name: str) -> None:
    """ImportRefused unless a source can be called that."""
    if not _SOURCE.fullmatch(name):
        raise ImportRefused("a source's name has 2 to 40 small letters, digits, dots and dashes")


_AT_ONCE = 2000
"""Keys of one statement. Ten times as many are no faster, and SQLite takes 32,766 values."""


class ImportRefused(AuthorityError):
    """What was asked for cannot be; nothing was taken."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the keys of some exports."""

    new: int = 0
    known: int = 0
    """Told before by this source, ours or our padding, or standing by the word of another source."""
    revoked: int = 0
    """Taken from this source before, now taken back."""
    left_out: int = 0
    """Too old or not begun, of an impossible window, or at a tier that is not published."""

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.new + other.new,
            self.known + other.known,
            self.revoked + other.revoked,
            self.left_out + other.left_out,
        )


@dataclass(frozen=True, slots=True)
class Imports:
    """Takes exports in."""

    store: Store
    secrets: Secrets
    retention: int
    """ms; of keys here, see Manner."""

    def take(
        self,
        actor: Actor,
        source: str,
        files: Sequence[BinaryIO],
        public_key: ec.EllipticCurvePublicKey,
        at: int,
        tier: Tier | None = None,
    ) -> Imported:
        """Everything in `files`, which `public_key` signed, in the order of their publication and each in one
        transaction. All are read whole before the first is taken, so one bad file means that nothing is.

        source: whose they are; only the same source takes its keys back. tier: of every key, where its export does not
        say. KeyExportError and ImportRefused say why not; StoreError when the database fails: then some may be taken,
        and the same again takes the rest.
        """
        require_source(source)
        self.require_other(public_key)
        return self.take_batches(actor, source, [Batch(file, public_key) for file in files], at, tier)

    def take_batches(
        self, actor: Actor, source: str, batches: Sequence[Batch], at: int, tier: Tier | None = None
    ) -> Imported:
        """As `take`, of batches whose signatures have been verified."""
        for batch in batches:
            for _ in batch:
                pass
        taken = Imported()
        for batch in sorted(batches, key=lambda batch: batch.head.end):
            taken += self._take(actor, source, batch, at, tier)
        return taken

    def require_other(self, public_key: ec.EllipticCurvePublicKey) -> None:
        """ImportRefused when it is this authority's, or an earlier one of its."""
        with self.store.snapshot() as seen:
            ours = {rotation.old for rotation in seen.rotations()}
        ours.add(key_rotation.point(self.secrets.signing_key.public_key()))
        if key_rotation.point(public_key) in ours:
            # Its padding would come in as keys of somebody.
            raise ImportRefused("that is this authority's own key: its exports are not taken back in")

    def _take(self, actor: Actor, source: str, batch: Batch, at: int, tier: Tier | None) -> Imported:
        counts: Counter[str] = Counter()
        with self.store.transaction() as transaction:
            # First, since it also makes another import wait until this one is done.
            transaction.put_fact("imported", at)
            records = ImportRecords(transaction.connection)
            # itertools.batched is of Python 3.12.
            keys = (terms.key(secret) for secret, terms in batch)
            while some := list(itertools.islice(keys, _AT_ONCE)):
                back = [key for key in some if key.report_type is ReportType.REVOKED and self._is_young(key, at)]
                told = [key if tier is None else replace(key, tier=tier) for key in some]
                told = [key for key in told if key.report_type is not ReportType.REVOKED and self._is_told(key, at)]
                # In whatever order a file tells a key and takes it back: it is taken back.
                others = [key for key in told if not padding.is_own(key.secret, self.secrets.pepper)]
                new = records.put(source, others, at) if others else 0
                counts["new"] += new
                counts["known"] += len(told) - new
                counts["revoked"] += records.take_back(source, back, at) if back else 0
                counts["left_out"] += len(some) - len(told) - len(back)
            detail = f"{counts['new']} + {counts['revoked']} revoked"
            StaffRecords(transaction.connection).note(actor, Act.KEYS_IMPORTED, at, source, detail)
        return Imported(counts["new"], counts["known"], counts["revoked"], counts["left_out"])

    def _is_young(self, key: DiagnosisKey, at: int) -> bool:
        """A day less than keys are kept here: none comes again of which we have forgotten that we had it."""
        return key.end > at - min(self.retention, plausibility.LONGEST_AGE) + DAY

    def _is_told(self, key: DiagnosisKey, at: int) -> bool:
        # Others publish a key on its own day; the embargo here waits until that is over.
        has_begun = key.start <= at and key.end <= at + DAY
        is_possible = has_begun and plausibility.holds_identifiers(key.protocol, key.start, key.end)
        return key.tier is not Tier.F2 and self._is_young(key, at) and is_possible
