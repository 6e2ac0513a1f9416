"""The search over executions reads an index, also for the names that it leaves out."""

from __future__ import annotations

from orchestrator.executions import ExecutionQuery
from storage.sql_executions import _Place, _Search


async def test_the_index_finds_the_executions_of_a_client(engine):
    """A client's are found among all the others, although the index has no name that is too long for it."""
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # as for more than a few rows
        search = _Search(connection, ExecutionQuery(since=1.0, until=9.0, client="acme"))
        looked_at = search._looked_at(_Place(9.0, 0))
        text = str(looked_at.compile(engine.sync_engine, compile_kwargs={"literal_binds": True}))
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        plan = "\n".join(str(tuple(line)) for line in await connection.exec_driver_sql(explain + text))

    assert "ix_frames_client" in plan, plan
