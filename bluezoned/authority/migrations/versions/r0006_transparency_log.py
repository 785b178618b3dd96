"""The transparency log's leaves, and each code's commitment in one of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "leaf",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("codes", sa.LargeBinary),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "leaf_batch",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("leaf", sa.Integer, sa.ForeignKey("leaf.number"), nullable=False, index=True),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "commitment",
        sa.Column("value", sa.LargeBinary, primary_key=True),
        sa.Column("leaf", sa.Integer, sa.ForeignKey("leaf.number"), nullable=False, index=True),
        sa.Column("digest", sa.LargeBinary, sa.ForeignKey("code.digest", ondelete="SET NULL"), index=True),
        sa.Column("salt", sa.LargeBinary),
    )
