"""The data sets and the log of actions."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "storage_datasets",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("layer", sa.String(16), nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("last_row", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", "layer", name="pk_storage_datasets"),
    )
    op.create_table(
        "storage_actions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), nullable=False
        ),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_storage_actions"),
    )
