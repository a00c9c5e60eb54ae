"""The accounts service's tables."""

import sqlalchemy as sa

from foodex.core.sql import UtcDateTime, new_metadata

metadata = new_metadata()

# --- Money ---------------------------------------------------------------------------------------

balances = sa.Table(
    "accounts_balances",
    metadata,
    sa.Column("account_id", sa.String(200), primary_key=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("balance_minor", sa.BigInteger, nullable=False),
    # How many entries the account has, which is the number of its last one.
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("opened_at", UtcDateTime, nullable=False),
    sa.CheckConstraint("balance_minor >= 0", name="balance"),
)

# Triggers, made by the migration, refuse to change or remove an entry. SQLite keeps them in the
# order they came: in that of accounts, a commit of many accounts would write twice the pages.
entries = sa.Table(
    "accounts_entries",
    metadata,
    sa.Column("account_id", sa.String(200), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
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
    sa.UniqueConstraint("reference"),
    sa.CheckConstraint("balance_minor >= 0", name="balance"),
    sa.Index(
        "ix_accounts_entries_refunds",
        "account_id",
        "subject",
        sqlite_where=sa.text("kind = 'refund'"),
        postgresql_where=sa.text("kind = 'refund'"),
    ),
)

reservations = sa.Table(
    "accounts_reservations",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("account_id", sa.String(200), nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("left_minor", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("closed_at", UtcDateTime),
    sa.CheckConstraint("left_minor >= 0 AND left_minor <= amount_minor", name="rest"),
)

payments = sa.Table(
    "accounts_payments",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
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
    sa.UniqueConstraint("provider", "provider_id"),
)

# An account's predictions are found through its charges: an index of their own would double the
# pages that a commit writes where many accounts buy at once.
predictions = sa.Table(
    "accounts_predictions",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("account_id", sa.String(200), nullable=False),
    sa.Column("entry_number", sa.BigInteger, nullable=False),
    sa.Column("key_id", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("operation", sa.String(48), nullable=False),
    sa.Column("model", sa.String(48)),
    sa.Column("version", sa.BigInteger),
    sa.Column("price_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    # Bodies, exactly as they were sent and answered; NULL once their retention has passed.
    sa.Column("order_body", sa.LargeBinary),
    sa.Column("features", sa.LargeBinary),
    sa.Column("inputs", sa.LargeBinary),
    sa.Column("answer", sa.LargeBinary),
)

idempotency = sa.Table(
    "accounts_idempotency",
    metadata,
    sa.Column("account_id", sa.String(200), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("prediction_id", sa.String(32), nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# How far work that goes through a table bit by bit has come.
marks = sa.Table(
    "accounts_marks",
    metadata,
    sa.Column("name", sa.String(48), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)

# --- People --------------------------------------------------------------------------------------

people = sa.Table(
    "accounts_people",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("roles", sa.String(100), nullable=False),
    sa.Column("is_admin", sa.Boolean, nullable=False),
    sa.Column("account_id", sa.String(200), nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("blocked_at", UtcDateTime),
    # The number of the last change to this person's rights, keys or sessions.
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
)

api_keys = sa.Table(
    "accounts_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("person", sa.ForeignKey(people.c.name), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("scopes", sa.String(400), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("last_used_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Index(
        "uq_accounts_keys_person_name",
        "person",
        "name",
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    ),
)

sessions = sa.Table(
    "accounts_sessions",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("person", sa.ForeignKey(people.c.name), nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    sa.Column("ended_at", UtcDateTime),
)

refresh_tokens = sa.Table(
    "accounts_refresh_tokens",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column(
        "session_id", sa.ForeignKey(sessions.c.id, ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("issued_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("spent_at", UtcDateTime),
)

# One row: the number of the last change to anybody. Its lock puts the changes in order.
revision = sa.Table(
    "accounts_revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

# Triggers, made by the migration, refuse to change or remove a line.
audit = sa.Table(
    "accounts_audit",
    metadata,
    sa.Column(
        "number",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(),
        primary_key=True,
    ),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("ix_accounts_audit_target", "target", "number"),
    sa.Index("ix_accounts_audit_who", "who", "number"),
)
