"""The signed log that was seen last of an authority that is followed: beside one that contradicts it, the evidence."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("subscription", sa.Column("seen_log", sa.LargeBinary))
    op.add_column("subscription", sa.Column("before_fork", sa.LargeBinary))
