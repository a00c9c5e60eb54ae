"""The ledger, reservations, payments and paid predictions."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0001"
down_revision = None

_SQLITE = """
CREATE TRIGGER accounts_entries_no_{verb} BEFORE {verb} ON accounts_entries
BEGIN SELECT RAISE(ABORT, 'entries of the ledger are only ever added'); END
"""
_POSTGRESQL = """
CREATE FUNCTION accounts_entries_stay() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'entries of the ledger are only ever added'; END $$
"""


def upgrade() -> None:
    """Make the tables, and the triggers that keep entries as they are."""
    op.create_table(
        "accounts_balances",
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("balance_minor", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts_balances"),
        sa.CheckConstraint("balance_minor >= 0", name="ck_accounts_balances_balance"),
    )
    op.create_table(
        "accounts_entries",
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("balance_minor", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.String(480), nullable=False),
        sa.Column("subject", sa.String(480), nullable=False),
        sa.Column("operation", sa.String(48)),
        sa.Column("model", sa.String(48)),
        sa.Column("unit_minor", sa.BigInteger),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number", name="pk_accounts_entries"),
        sa.UniqueConstraint("reference", name="uq_accounts_entries_reference"),
        sa.CheckConstraint("balance_minor >= 0", name="ck_accounts_entries_balance"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_accounts_entries_refunds",
        "accounts_entries",
        ["account_id", "subject"],
        sqlite_where=sa.text("kind = 'refund'"),
        postgresql_where=sa.text("kind = 'refund'"),
    )
    op.create_table(
        "accounts_reservations",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("left_minor", sa.BigInteger, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("closed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_reservations"),
        sa.CheckConstraint(
            "left_minor >= 0 AND left_minor <= amount_minor", name="ck_accounts_reservations_rest"
        ),
    )
    op.create_table(
        "accounts_payments",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("provider", sa.String(48), nullable=False),
        sa.Column("provider_id", sa.String(160)),
        sa.Column("pay_at", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_payments"),
        sa.UniqueConstraint(
            "provider", "provider_id", name="uq_accounts_payments_provider_provider_id"
        ),
    )
    op.create_table(
        "accounts_predictions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("entry_number", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("operation", sa.String(48), nullable=False),
        sa.Column("model", sa.String(48)),
        sa.Column("version", sa.BigInteger),
        sa.Column("price_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("order_body", sa.LargeBinary),
        sa.Column("features", sa.LargeBinary),
        sa.Column("inputs", sa.LargeBinary),
        sa.Column("answer", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_accounts_predictions"),
    )
    op.create_index("ix_accounts_predictions_account", "accounts_predictions", ["account_id", "id"])
    op.create_table(
        "accounts_idempotency",
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("prediction_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_accounts_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "accounts_marks",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_accounts_marks"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(verb=verb))
    else:
        op.execute(_POSTGRESQL)
        op.execute(
            "CREATE TRIGGER accounts_entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON "
            "accounts_entries FOR EACH STATEMENT EXECUTE FUNCTION accounts_entries_stay()"
        )
