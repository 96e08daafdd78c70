-- Purpose: set another queue or priority; NULL keeps the current value. pending, picked -> pending.
-- A waiting task stays waiting with another priority. With another queue it becomes pending and due
-- now, since other workers serve that queue. A coordinator may hold the task; its lease is then
-- invalid, and it finds that before it offers the task.
-- Guard: the task is waiting, pending or picked.
-- Index: primary key.
-- Called by taskmaster.tasks.bulk.apply.
WITH moved AS MATERIALIZED (
    SELECT
        id,
        status = 'waiting' AND COALESCE(%(queue)s::text, queue) = queue AS stays,
        status = 'waiting' AND COALESCE(%(queue)s::text, queue) <> queue AS returns
    FROM taskmaster_tasks_task
    WHERE
        id = ANY(%(ids)s::bigint[])
        AND status || '' IN ('waiting', 'pending', 'picked')
    FOR UPDATE
)
UPDATE taskmaster_tasks_task AS task
SET
    status = CASE WHEN moved.stays THEN 'waiting' ELSE 'pending' END,
    scheduled_at = CASE WHEN moved.returns THEN now() ELSE task.scheduled_at END,
    waiting_reason = CASE WHEN moved.stays THEN task.waiting_reason ELSE '' END,
    waiting_for = CASE WHEN moved.stays THEN task.waiting_for ELSE '' END,
    queue = COALESCE(%(queue)s::text, task.queue),
    priority = COALESCE(%(priority)s::smallint, task.priority),
    lease = task.lease + 1,
    unused_leases = task.unused_leases + 1,
    coordinator = NULL,
    picked_at = NULL
FROM moved
WHERE task.id = moved.id
RETURNING task.id, task.name, task.queue
