-- failed, cancelled -> pending, due now, with at least one attempt left.
-- Guard: failed or cancelled. Index: primary key. Called by tasks.operations for one, tasks.bulk for
-- many.
WITH before AS (
    SELECT id, status
    FROM tasks_task
    WHERE
        id = ANY(%(ids)s::bigint[])
        AND status || '' IN ('failed', 'cancelled')
    FOR UPDATE
)
UPDATE tasks_task AS task
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
