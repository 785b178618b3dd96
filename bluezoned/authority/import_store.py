"""Keys that other authorities published, in the authority's database: rows beside those of its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, insert, or_, select, update

from bluezoned.authority.store import same_key
from bluezoned.authority.tables import key as _key
from bluezoned.protocols.protocol import DiagnosisKey

_NEVER_TOLD = 0
"""In place of a batch's number, which is at least 1: a key that was taken back before it was told here. Its row says no
more to boxes, and keeps an older export from bringing it again."""


class ImportRecords:
    """The statements, in the transaction of whoever asks. The keys of a call are of one protocol."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put(self, source: str, keys: Sequence[DiagnosisKey], at: int) -> int:
        """Those that are not known; how many. Known is what this source told before, what is ours, and what stands by
        the word of another source: so a key that comes back from whoever imported it here is not told twice."""
        by_secret = {bytes(key.secret): key for key in keys}
        known = or_(_key.c.origin == source, _key.c.case_id.is_not(None), _key.c.is_revoked.is_(False))
        fresh = self._without(by_secret, known)
        self._insert(source, fresh.values(), at, is_revoked=False)
        return len(fresh)

    def take_back(self, source: str, keys: Sequence[DiagnosisKey], at: int) -> int:
        """What this source alone told is taken back; how many of those."""
        by_secret = {bytes(key.secret): key for key in keys}
        told = and_(_key.c.secret.in_(by_secret), _key.c.protocol == keys[0].protocol, _key.c.origin == source)
        unseen = _key.c.published_in.is_(None)
        taken = self._db.execute(
            update(_key)
            .where(told, _key.c.is_revoked.is_(False))
            .values(
                is_revoked=True,
                published_in=case((unseen, _NEVER_TOLD), else_=_key.c.published_in),
                revoked_in=case((unseen, _NEVER_TOLD), else_=_key.c.revoked_in),
            )
        ).rowcount
        other = _key.alias()
        # As with cases: boxes forget the nearer one, so one that still stands at a farther tier is told again.
        falls = and_(other.c.is_revoked, other.c.revoked_in.is_(None), other.c.tier < _key.c.tier)
        nearer_falls = select(other.c.id).where(same_key(other), other.c.origin == source, falls)
        again = update(_key).where(_key.c.secret.in_(by_secret), _key.c.is_revoked.is_(False), nearer_falls.exists())
        self._db.execute(again.values(published_in=None))
        unknown = self._without(by_secret, _key.c.origin == source)
        self._insert(source, unknown.values(), at, is_revoked=True)
        return taken

    def _without(self, by_secret: Mapping[bytes, DiagnosisKey], known: Any) -> dict[bytes, DiagnosisKey]:
        protocols = {key.protocol for key in by_secret.values()}
        asked = select(_key.c.secret).where(_key.c.secret.in_(by_secret), _key.c.protocol.in_(protocols), known)
        found = {bytes(secret) for secret in self._db.execute(asked).scalars()}
        return {secret: key for secret, key in by_secret.items() if secret not in found}

    def _insert(self, source: str, keys: Any, at: int, is_revoked: bool) -> None:
        never = _NEVER_TOLD if is_revoked else None
        rows = [
            {
                "origin": source,
                "protocol": key.protocol,
                "secret": bytes(key.secret),
                "start": key.start,
                "end": key.end,
                "tier": int(key.tier),
                "report_type": int(key.report_type),
                "days_since_onset": key.days_since_onset,
                "received": at,
                "published_in": never,
                "is_revoked": is_revoked,
                "revoked_in": never,
            }
            for key in keys
        ]
        if rows:
            self._db.execute(insert(_key), rows)
