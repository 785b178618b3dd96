"""How loud published keys were heard by those who became cases, and of which that was published."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "hearing",
        sa.Column("case_id", sa.String, sa.ForeignKey("case_.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("secret", sa.LargeBinary, primary_key=True, index=True),
        sa.Column("loudness", sa.Integer, nullable=False),
    )
    op.create_table(
        "loudness",
        sa.Column("secret", sa.LargeBinary, primary_key=True),
        sa.Column("published_in", sa.Integer, nullable=False, index=True),
    )
