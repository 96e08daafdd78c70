-- Purpose: read whether an id that no task has was given to a submission, and the seconds since the
-- existing task with the next lower id was created.
-- Guard: none; it changes no row.
-- Index: primary key.
-- Called by taskmaster.tasks.queries.missing_task.
SELECT
    %(id)s::bigint <= COALESCE(
        pg_sequence_last_value(pg_get_serial_sequence('taskmaster_tasks_task', 'id')::regclass),
        0
    ),
    (
        SELECT EXTRACT(EPOCH FROM now() - created_at)::float8
        FROM taskmaster_tasks_task
        WHERE id < %(id)s
        ORDER BY id DESC
        LIMIT 1
    )
