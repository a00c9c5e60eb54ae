"""Under which reference a load was begun, so that it is begun once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; an index of its own, as SQLite adds no unique column to a table."""
    op.add_column("collector_loads", sa.Column("reference", sa.String(64)))
    op.create_index("uq_collector_loads_reference", "collector_loads", ["reference"], unique=True)
