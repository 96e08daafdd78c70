-- Removes finished tasks, for good, with what they printed.
-- Guard: finished. Index: primary keys. Called by tasks.bulk.
WITH deleted AS (
    DELETE FROM tasks_task AS task
    WHERE
        task.id = ANY(%(ids)s::bigint[])
        AND task.status || '' IN ('complete', 'failed', 'cancelled')
    RETURNING task.id, task.name, task.queue, task.status
),
printed AS (
    DELETE FROM tasks_taskoutput AS output
    USING deleted
    WHERE output.task_id = deleted.id
)
SELECT id, name, queue, status
FROM deleted
