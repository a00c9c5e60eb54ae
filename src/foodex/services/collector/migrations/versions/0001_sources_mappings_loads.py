"""Sources, mappings and the log of loads."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "collector_sources",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_collector_sources"),
    )
    op.create_table(
        "collector_mappings",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("toml", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_collector_mappings"),
    )
    op.create_table(
        "collector_loads",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), nullable=False
        ),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("source_name", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("dataset", sa.String(48), nullable=False),
        sa.Column("mapping", sa.Text, nullable=False),
        sa.Column("mapping_toml", sa.Text, nullable=False),
        sa.Column("mapping_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("committing", sa.Boolean, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("logged", sa.Boolean, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("leased_until", UtcDateTime),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("staged_row", sa.BigInteger, nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_kept", sa.BigInteger, nullable=False),
        sa.Column("rows_rejected", sa.BigInteger, nullable=False),
        sa.Column("rejected_by_rule", sa.JSON, nullable=False),
        sa.Column("repaired", sa.JSON, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("content_hash", sa.String(64)),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_collector_loads"),
    )
    op.create_index("ix_collector_loads_state", "collector_loads", ["state"])
    op.create_index(
        "ix_collector_loads_content", "collector_loads", ["dataset", "content_hash", "mapping_hash"]
    )
