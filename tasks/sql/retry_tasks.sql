-- Purpose: retry tasks. failed, cancelled -> pending, due now, with at least one attempt left.
-- Guard: the task is failed or cancelled.
-- Index: primary key.
-- Called by taskmaster.tasks.task_actions for one task.
-- Called by taskmaster.tasks.bulk.apply for many tasks.
WITH before AS (
    SELECT id, status
    FROM taskmaster_tasks_task
    WHERE
        id = ANY(%(ids)s::bigint[])
        AND status || '' IN ('failed', 'cancelled')
    FOR UPDATE
)
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    scheduled_at = now(),
    max_attempts = GREATEST(task.max_attempts, task.attempt + 1),
    coordinator = NULL,
    picked_at = NULL,
    started_at = NULL,
    failed_at = NULL,
    cancelled_at = NULL
FROM before
WHERE task.id = before.id
RETURNING task.id, task.name, task.queue, before.status
