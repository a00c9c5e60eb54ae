"""Predictions of an account are found through its charges; a second index cost every commit."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Drop the index that no question uses."""
    op.drop_index("ix_accounts_predictions_account", "accounts_predictions")


def downgrade() -> None:
    """Make it again."""
    op.create_index("ix_accounts_predictions_account", "accounts_predictions", ["account_id", "id"])
