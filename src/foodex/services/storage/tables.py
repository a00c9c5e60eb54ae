"""The storage service's tables: what data sets there are, and what was done."""

import sqlalchemy as sa

from foodex.core.sql import UtcDateTime, new_metadata

metadata = new_metadata()

datasets = sa.Table(
    "storage_datasets",
    metadata,
    sa.Column("name", sa.String(48), primary_key=True),
    sa.Column("layer", sa.String(16), primary_key=True),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    # The highest number given to a row written by hand.
    sa.Column("last_row", sa.BigInteger, nullable=False),
)

actions = sa.Table(
    "storage_actions",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True
    ),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.String(64), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
)
