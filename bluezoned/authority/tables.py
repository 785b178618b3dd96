"""The tables of cases, codes, uploads, keys and batches. How they came to be is in migrations/."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, and_

from bluezoned.authority.database import METADATA

fact = Table("fact", METADATA, Column("name", String, primary_key=True), Column("value", BigInteger, nullable=False))

case = Table(
    "case_",
    METADATA,
    Column("id", String, primary_key=True),
    Column("tier", Integer, nullable=False),
    Column("source", ForeignKey("case_.id", ondelete="SET NULL"), nullable=True, index=True),
    Column("onset", Integer),
    Column("opened", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

code = Table(
    "code",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
)

failure = Table("failure", METADATA, Column("id", Integer, primary_key=True), Column("at", BigInteger, index=True))

upload = Table(
    "upload",
    METADATA,
    Column("nonce", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("received", BigInteger, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
)

key = Table(
    "key_",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), index=True),
    Column("protocol", String, nullable=False),
    Column("secret", LargeBinary, nullable=False, index=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("report_type", Integer, nullable=False),
    Column("days_since_onset", Integer),
    Column("received", BigInteger, nullable=False),
    Column("is_revoked", Boolean, nullable=False, default=False),
    Column("revoked_in", Integer),
    Column("origin", String),
)
"""Each has a case, or an origin: the authority that it was imported from."""

_falls = and_(key.c.is_revoked, key.c.revoked_in.is_(None))
Index("ix_key__falls", key.c.secret, sqlite_where=_falls, postgresql_where=_falls)
"""Those that are to be taken back: few, and asked for of every key that is told."""

hearing = Table(
    "hearing",
    METADATA,
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), primary_key=True),
    Column("secret", LargeBinary, primary_key=True, index=True),
    Column("loudness", Integer, nullable=False),
)
"""How loud the box of a case heard a published key, dB."""

loudness = Table(
    "loudness",
    METADATA,
    Column("secret", LargeBinary, primary_key=True),
    Column("published_in", Integer, nullable=False, index=True),
)
"""Published keys whose loudness was published."""

batch = Table(
    "batch",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("protocol", String, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
)

waiting = Table(
    "waiting",
    METADATA,
    Column("key_id", ForeignKey("key_.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
)
"""Keys that no batch has told yet, or that have to be told again."""

told = Table(
    "told",
    METADATA,
    Column("batch", ForeignKey("batch.sequence", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("first_key", Integer, primary_key=True, autoincrement=False),
    Column("last_key", Integer, nullable=False),
)
"""The keys of each batch: from one row to another, both included."""

lease = Table(
    "lease",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", LargeBinary, nullable=False),
    Column("until", BigInteger, nullable=False),
)

rotation = Table(
    "rotation",
    METADATA,
    Column("issued", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("old", LargeBinary, nullable=False),
    Column("new", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

subscription = Table(
    "subscription",
    METADATA,
    Column("name", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("tier", Integer),
    Column("seen_size", BigInteger, nullable=False),
    Column("seen_peaks", LargeBinary, nullable=False),
    Column("index_sequence", BigInteger, nullable=False),
    Column("index_issued", BigInteger, nullable=False),
    Column("newest_batch", BigInteger, nullable=False),
    Column("visited", BigInteger, nullable=False),
    Column("problem", String, nullable=False),
    Column("fork", LargeBinary),
    Column("seen_log", LargeBinary),
    Column("before_fork", LargeBinary),
)
"""Other authorities whose batches are taken in, and what has been seen of them. None is forgotten for its age: they are
no persons, and what was seen of a log is what a fork is told by."""

leaf = Table(
    "leaf",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("codes", LargeBinary),
    Column("hash", LargeBinary, nullable=False),
)
"""Of the transparency log; none is ever forgotten. `codes` is unknown of one that a restored backup did not have."""

leaf_batch = Table(
    "leaf_batch",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("leaf", ForeignKey("leaf.number"), nullable=False, index=True),
    Column("sha256", LargeBinary, nullable=False),
)

commitment = Table(
    "commitment",
    METADATA,
    Column("value", LargeBinary, primary_key=True),
    Column("leaf", ForeignKey("leaf.number"), nullable=False, index=True),
    Column("digest", ForeignKey("code.digest", ondelete="SET NULL"), index=True),
    Column("salt", LargeBinary),
)
"""What a leaf commits to, padding too, which has no salt and never had a code."""
