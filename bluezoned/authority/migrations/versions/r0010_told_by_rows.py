"""Which keys wait to be told, and which rows a batch told, in tables of their own, in the place of a mark on each key.

Of a key that another authority took back before it was told here, `revoked_in` alone says so from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "waiting",
        sa.Column(
            "key_id", sa.Integer, sa.ForeignKey("key_.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
    )
    op.create_table(
        "told",
        sa.Column(
            "batch",
            sa.Integer,
            sa.ForeignKey("batch.sequence", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("first_key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_key", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO waiting (key_id) SELECT id FROM key_ WHERE published_in IS NULL AND NOT is_revoked ORDER BY id"
    )
    op.execute(
        "INSERT INTO told (batch, first_key, last_key) SELECT published_in, id, id FROM key_ "
        "WHERE published_in IN (SELECT sequence FROM batch) ORDER BY published_in, id"
    )
    op.drop_index("ix_key__waits", "key_")
    op.drop_column("key_", "published_in")
