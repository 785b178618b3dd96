"""Indexes of the few keys that publishing has to look at, in the place of one of all: those that wait, in their order,
and those that are to be taken back, of which it asks for every key that it tells."""

from alembic import op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    falls = text("is_revoked AND revoked_in IS NULL")
    waits = text("published_in IS NULL")
    op.drop_index("ix_key__published_in", "key_")
    op.create_index("ix_key__waits", "key_", ["id"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("ix_key__falls", "key_", ["secret"], sqlite_where=falls, postgresql_where=falls)
