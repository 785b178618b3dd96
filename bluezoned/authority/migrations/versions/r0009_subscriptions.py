"""Other authorities that this one follows."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "subscription",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("tier", sa.Integer),
        sa.Column("seen_size", sa.BigInteger, nullable=False),
        sa.Column("seen_peaks", sa.LargeBinary, nullable=False),
        sa.Column("index_sequence", sa.BigInteger, nullable=False),
        sa.Column("index_issued", sa.BigInteger, nullable=False),
        sa.Column("newest_batch", sa.BigInteger, nullable=False),
        sa.Column("visited", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.String, nullable=False),
        sa.Column("fork", sa.LargeBinary),
    )
