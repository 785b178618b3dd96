"""What of an alert the carrier has taken note of: quiet until something new."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from bluezoned.protocols.protocol import Tier
from bluezoned.tracing.store import Store

_FORM = struct.Struct(">BI")


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One thing that an alert rests on: a day of exposure, or (F0) the day of an own upload."""

    tier: Tier
    day: int


class Acknowledgement:
    """The reasons last taken note of, remembered over a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, reasons: set[Reason]) -> None:
        """These and no others."""
        with self._store.transaction():
            self._store.put_fact("acknowledged", 0, _pack(reasons))

    def taken(self) -> set[Reason]:
        """What `take` was given last."""
        fact = self._store.fact("acknowledged")
        return _unpack(fact[1] or b"") if fact is not None else set()

    def forget_others(self, reasons: set[Reason]) -> None:
        """Only of these is it still to be known that they were taken note of: what is past retention is forgotten."""
        taken = self.taken()
        if not taken <= reasons:
            self.take(taken & reasons)


def _pack(reasons: Iterable[Reason]) -> bytes:
    return b"".join(_FORM.pack(reason.tier, reason.day) for reason in sorted(reasons))


def _unpack(packed: bytes) -> set[Reason]:
    return {Reason(Tier(tier), day) for tier, day in _FORM.iter_unpack(packed)}
