"""Keys of other authorities: they come of no case, but from a source."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("key_") as key:
        key.add_column(sa.Column("origin", sa.String))
        key.alter_column("case_id", existing_type=sa.String, nullable=True)
