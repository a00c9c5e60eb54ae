"""People, their keys and sessions, and the audit log."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0002"
down_revision = "0001"

_SQLITE = """
CREATE TRIGGER accounts_audit_no_{verb} BEFORE {verb} ON accounts_audit
BEGIN SELECT RAISE(ABORT, 'lines of the audit log are only ever added'); END
"""
_POSTGRESQL = """
CREATE FUNCTION accounts_audit_stay() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'lines of the audit log are only ever added'; END $$
"""


def upgrade() -> None:
    """Make the tables, and the triggers that keep lines of the audit log as they are."""
    op.create_table(
        "accounts_people",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("roles", sa.String(100), nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("blocked_at", UtcDateTime),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_accounts_people"),
    )
    op.create_index("ix_accounts_people_revision", "accounts_people", ["revision"])
    op.create_table(
        "accounts_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", sa.String(400), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_keys"),
        sa.UniqueConstraint("digest", name="uq_accounts_keys_digest"),
        sa.ForeignKeyConstraint(
            ["person"], ["accounts_people.name"], name="fk_accounts_keys_person_accounts_people"
        ),
    )
    op.create_index(
        "uq_accounts_keys_person_name",
        "accounts_keys",
        ["person", "name"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "accounts_sessions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_sessions"),
        sa.ForeignKeyConstraint(
            ["person"], ["accounts_people.name"], name="fk_accounts_sessions_person_accounts_people"
        ),
    )
    op.create_index("ix_accounts_sessions_person", "accounts_sessions", ["person"])
    op.create_index("ix_accounts_sessions_expires_at", "accounts_sessions", ["expires_at"])
    op.create_table(
        "accounts_refresh_tokens",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(32), nullable=False),
        sa.Column("issued_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("spent_at", UtcDateTime),
        sa.PrimaryKeyConstraint("digest", name="pk_accounts_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["accounts_sessions.id"],
            name="fk_accounts_refresh_tokens_session_id_accounts_sessions",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_accounts_refresh_tokens_session_id", "accounts_refresh_tokens", ["session_id"]
    )
    made = op.create_table(
        "accounts_revision",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_revision"),
    )
    op.bulk_insert(made, [{"id": 1, "number": 0}])
    op.create_table(
        "accounts_audit",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(),
            nullable=False,
        ),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_accounts_audit"),
    )
    op.create_index("ix_accounts_audit_target", "accounts_audit", ["target", "number"])
    op.create_index("ix_accounts_audit_who", "accounts_audit", ["who", "number"])
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(verb=verb))
    else:
        op.execute(_POSTGRESQL)
        op.execute(
            "CREATE TRIGGER accounts_audit_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON "
            "accounts_audit FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_stay()"
        )
