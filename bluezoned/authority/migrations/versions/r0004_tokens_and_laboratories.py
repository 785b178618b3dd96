"""Tokens that codes are exchanged for by apps of others, and laboratories with their quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "token",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("case_id", sa.String, sa.ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("tekmac", sa.LargeBinary),
    )
    op.create_table(
        "laboratory",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("per_day", sa.Integer, nullable=False),
        sa.Column("added", sa.BigInteger, nullable=False),
    )
    laboratory = sa.ForeignKey("laboratory.id", ondelete="CASCADE")
    op.create_table(
        "laboratory_request",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("laboratory_id", sa.Integer, laboratory, nullable=False, index=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
