"""What this box publishes when its carrier agrees: own keys in sealed uploads, from the consent to the receipt.

Sends nothing: what is sealed waits in the store until somebody carries it out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import upload
from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DailyKey, DiagnosisKey, Random, TracingProtocol
from bluezoned.tracing.keyring import Keyring
from bluezoned.tracing.store import Store, StoredUpload


class Publication:
    """The uploads of one box."""

    def __init__(self, store: Store, keyring: Keyring, protocol: TracingProtocol, random: Random) -> None:
        self._store = store
        self._keyring = keyring
        self._protocol = protocol
        self._random = random

    def seal(
        self,
        code: str,
        at: int,
        since: int,
        hours: tuple[int, int] | None,
        hearings: tuple[upload.Hearing, ...],
        sealing_key: bytes,
    ) -> None:
        """The keys used since `since` (ms), or those of some `hours` alone (from, to, half-open, ms), under the
        authority's one-time code, with what this box tells of others' keys.

        The sealed message is stored with the binding of the keys, then waits in `pending`. ProtocolError when the code
        has no possible form, and for hours whose keys would tell others.
        """
        used = self._keyring.publishable(at, since)
        if hours is not None:
            used = self._of_hours(used, hours)
        until = self._keyring.cut(at)
        keys = tuple(self._narrowed(self._protocol.publish(key, until), hours) for key in used)
        nonce = Opaque(self._random(16))
        message = upload.Upload(upload.normalise_code(code), keys, nonce, hearings)
        sealed = upload.seal(message, sealing_key)
        with self._store.transaction():
            row = self._store.put_upload(nonce, sealed, at)
            self._keyring.bind(row, at, used)

    def _of_hours(self, keys: list[DailyKey], hours: tuple[int, int]) -> list[DailyKey]:
        used = [key for key in keys if key.start < hours[1] and key.end > hours[0]]
        if not used:
            raise ProtocolError("this box was not on the air in these hours, or has forgotten them")
        if self._keyring.leads_on(used):
            raise ProtocolError("the keys of these hours would tell those of all later days, as they form a chain: "
                                "consent without hours, or set beacon.key_schedule = \"independent\"")  # fmt: skip
        return used

    def _narrowed(self, key: DiagnosisKey, hours: tuple[int, int] | None) -> DiagnosisKey:
        """The key's window within the hours, to whole rotations; as it is where the protocol tells whole days."""
        if hours is None:
            return key
        rotation = self._protocol.rotation
        start, end = hours[0] - hours[0] % rotation, hours[1] + -hours[1] % rotation
        cut = replace(key, start=max(key.start, start), end=min(key.end, end))
        fits = all(start <= w.start and w.end <= end for w in self._protocol.expand(cut))
        return cut if fits else key

    def pending(self) -> dict[bytes, bytes]:
        """Sealed messages that wait for a receipt, by a tag of 8 bytes that tells nothing."""
        return {_tag(u): u.sealed for u in self._store.uploads() if u.sealed is not None}

    def chaff(self, elapsed: int, mean: int, sealing_key: bytes | None) -> tuple[bytes, bytes] | None:
        """Now and then an upload that says nothing, with a tag like `pending` gives: on average once in `mean`
        ms, `elapsed` of which passed since this was last asked. Without memory, so that neither a restart nor the last
        one tells when the next comes. None without a sealing key, and always when `mean` is 0."""
        drawn = int.from_bytes(self._random(8)) / (1 << 64)
        if sealing_key is None or not mean or drawn >= -math.expm1(-elapsed / mean):
            return None
        return self._random(8), upload.seal_chaff(sealing_key)

    def close(self, data: bytes, signing_keys: Sequence[ec.EllipticCurvePublicKey]) -> StoredUpload | None:
        """The upload that a receipt answers, signed with one of these keys, the one that signs now first; None when it
        answers none that is pending."""
        receipt = _read_receipt(data, signing_keys)
        pending = {u.nonce: u for u in self._store.uploads() if u.state == "pending"}
        found = pending.get(Opaque(receipt.nonce))
        if found is None:
            return None
        state = "accepted" if receipt.accepted else "refused"
        with self._store.transaction():
            self._store.close_upload(found.id, state, receipt.problem, receipt.tier)
        return next(u for u in self._store.uploads() if u.id == found.id)

    def last(self) -> StoredUpload | None:
        uploads = self._store.uploads()
        return uploads[-1] if uploads else None


def _read_receipt(data: bytes, signing_keys: Sequence[ec.EllipticCurvePublicKey]) -> upload.Receipt:
    """One that was signed before the key was replaced may still be on its way."""
    current, *former = signing_keys
    for key in former:
        with suppress(upload.ReceiptError):
            return upload.read_receipt(data, key)
    return upload.read_receipt(data, current)


def _tag(stored: StoredUpload) -> bytes:
    return hashlib.sha256(b"upload tag" + stored.nonce).digest()[:8]
