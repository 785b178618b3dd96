"""Cases, codes, uploads, keys, batches: the tables before there were revisions.

Databases that an earlier bluezone-authority made have these tables already and are only marked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "fact",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "case_",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("source", sa.String, sa.ForeignKey("case_.id", ondelete="SET NULL"), index=True),
        sa.Column("onset", sa.Integer),
        sa.Column("opened", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger),
    )
    op.create_table(
        "code",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        _of_a_case(),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger),
    )
    op.create_table(
        "failure", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.BigInteger, index=True)
    )
    op.create_table(
        "upload",
        sa.Column("nonce", sa.LargeBinary, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        _of_a_case(),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("receipt", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "key_",
        sa.Column("id", sa.Integer, primary_key=True),
        _of_a_case(),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False, index=True),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("report_type", sa.Integer, nullable=False),
        sa.Column("days_since_onset", sa.Integer),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("published_in", sa.Integer, index=True),
        sa.Column("is_revoked", sa.Boolean, nullable=False),
        sa.Column("revoked_in", sa.Integer),
    )
    op.create_table(
        "batch",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
    )


def _of_a_case() -> sa.Column[str]:
    return sa.Column("case_id", sa.String, sa.ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True)
