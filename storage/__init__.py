"""Where the record is kept, and what the core's ports are made of; a file's prefix names its technology.

Read in this order:

    file_segments       the layout of journal segments on disk; reading and judging them
    file_journal        the writer: one write per tick of the event loop, before any answer leaves
    codec               frames and events, as JSON and as rows; upcasting brings past versions to the present
    sql_address         the addresses of databases, in one spelling and without their passwords
    sql_engine          opens one; what differs between the engines is in sql_sqlite and sql_postgres
    sql_tables          the schema; sql_schema brings a database to it
    sql_event_log       appends frames, reads them back by position or by stream
    sql_raw_events      streams events as they were written; sql_texts erases texts of queries
    sql_projector       folds frames into rollups; counts and checkpoint commit together
    sql_reports         reads the rollups as reports
    recorder_process    drains the journal into SQL and projects; one per data directory
    memory_*            limits, caches and logs of one process

Nothing here knows HTTP or the environment, and no technology knows another.
"""
