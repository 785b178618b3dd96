"""Staff with what they prove themselves with, the audit log, the register's references and venues."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AUDIT_KEPT = 730 * 86_400_000

KEEP_AUDIT = {
    "sqlite": (
        "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        "CREATE TRIGGER audit_kept BEFORE DELETE ON audit "
        f"WHEN OLD.at > (SELECT max(at) FROM audit) - {AUDIT_KEPT} "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' OR OLD.at > (SELECT max(at) FROM audit) - {AUDIT_KEPT} THEN "
        "RAISE EXCEPTION 'the audit log is append-only'; END IF; RETURN OLD; END $$",
        "CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    ),
}


def upgrade() -> None:
    _staff()
    _audit()
    _register()


def _staff() -> None:
    op.create_table(
        "member",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.Column("password", sa.String),
        sa.Column("totp", sa.LargeBinary),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("invitation", sa.LargeBinary),
        sa.Column("invited_until", sa.BigInteger),
        sa.Column("disabled", sa.BigInteger),
    )
    op.create_table(
        "passkey",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        _of_a_member(),
        sa.Column("credential", sa.LargeBinary, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
    )
    op.create_table("recovery_code", sa.Column("digest", sa.LargeBinary, primary_key=True), _of_a_member())
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        _of_a_member(),
        sa.Column("stage", sa.String, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("challenge", sa.String),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("act", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
    )
    for statement in KEEP_AUDIT[op.get_bind().dialect.name]:
        op.execute(statement)


def _register() -> None:
    op.create_table(
        "case_note",
        _of_a_case(),
        sa.Column("reference", sa.String, nullable=False, index=True),
        sa.Column("tested", sa.Integer),
    )
    op.create_table(
        "venue",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("added", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbreak",
        _of_a_case(),
        sa.Column("venue_id", sa.Integer, sa.ForeignKey("venue.id"), nullable=False, index=True),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
    )


def _of_a_member() -> sa.Column[int]:
    member = sa.ForeignKey("member.id", ondelete="CASCADE")
    return sa.Column("member_id", sa.Integer, member, nullable=False, index=True)


def _of_a_case() -> sa.Column[str]:
    return sa.Column("case_id", sa.String, sa.ForeignKey("case_.id", ondelete="CASCADE"), primary_key=True)
