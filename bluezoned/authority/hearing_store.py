"""What cases told of the loudness of published keys, in the authority's database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, and_, insert, select

from bluezoned.authority.key_store import IS_TOLD, to_key
from bluezoned.authority.tables import case as _case
from bluezoned.authority.tables import hearing as _hearing
from bluezoned.authority.tables import key as _key
from bluezoned.authority.tables import loudness as _loudness
from bluezoned.protocols.protocol import DiagnosisKey
from bluezoned.tracing import loudness
from bluezoned.upload import Hearing


class Hearings:
    """The statements, in the transaction of whoever asks."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put(self, case_id: str, hearings: Iterable[Hearing]) -> None:
        """What the box of a case told; of keys that are not published here, of the case's own and of those it told of
        before, nothing."""
        known = set(self._db.execute(select(_hearing.c.secret).where(_hearing.c.case_id == case_id)).scalars())
        for hearing in hearings:
            low, high = bytes(hearing.tag), bytes(hearing.tag) + b"\xff" * 32
            meant = and_(_key.c.secret.between(low, high), _key.c.case_id != case_id, IS_TOLD)
            secret = self._db.execute(select(_key.c.secret).where(meant).limit(1)).scalar()
            if secret is not None and secret not in known:
                known.add(secret)
                self._db.execute(insert(_hearing).values(case_id=case_id, secret=secret, loudness=hearing.loudness))

    def waiting(self, protocol: str, most: int) -> list[DiagnosisKey]:
        """Published keys of which enough cases have told by now, with their loudness. It is published once: a second
        value would tell the difference, which is one receiver's word."""
        done = select(_loudness.c.secret).where(_loudness.c.secret == _key.c.secret)
        told = (
            select(_key, _hearing.c.loudness)
            .join(_hearing, _hearing.c.secret == _key.c.secret)
            .join(_case, and_(_case.c.id == _hearing.c.case_id, _case.c.revoked.is_(None)))
            .where(_key.c.protocol == protocol, IS_TOLD, ~done.exists())
        )
        words: dict[int, list[int]] = {}
        keys = {}
        for row in self._db.execute(told.order_by(_key.c.id)):
            words.setdefault(row.id, []).append(row.loudness)
            keys[row.id] = to_key(row)
        found = []
        for row_id, key in keys.items():
            if (offset := loudness.transmit_offset(words[row_id])) is not None:
                found.append(replace(key, loudness=offset))
        return found[:most]

    def mark(self, secrets: Iterable[bytes], sequence: int) -> None:
        """Published in that batch."""
        rows = [{"secret": secret, "published_in": sequence} for secret in secrets]
        if rows:
            self._db.execute(insert(_loudness), rows)
