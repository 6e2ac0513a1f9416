"""Beside the text of a search what else was asked, so that it can be asked again.

Revision 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty for the texts that are there: nobody knows any more what else was asked."""
    op.add_column("queries", sa.Column("request", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the column; texts stay."""
    op.drop_column("queries", "request")
