-- failed, cancelled -> pending, due now, with at least one attempt left.
-- Guard: failed or cancelled. Index: primary key. Called by tasks.operations.
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
WHERE
    task.id = %(id)s
    AND task.status || '' IN ('failed', 'cancelled')
RETURNING task.id
