-- Purpose: delete finished tasks and their output permanently.
-- Guard: the task has ended.
-- Index: primary keys.
-- Called by taskmaster.tasks.bulk.apply.
WITH deleted AS (
    DELETE FROM taskmaster_tasks_task AS task
    WHERE
        task.id = ANY(%(ids)s::bigint[])
        AND task.status || '' IN ('complete', 'failed', 'cancelled')
    RETURNING task.id, task.name, task.queue, task.status
),
printed AS (
    DELETE FROM taskmaster_tasks_taskoutput AS output
    USING deleted
    WHERE output.task_id = deleted.id
)
SELECT id, name, queue, status
FROM deleted
