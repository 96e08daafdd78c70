-- Purpose: set another queue or priority; NULL keeps the current value. pending, picked -> pending,
-- and a waiting task stays waiting. A coordinator may hold the task; its lease is then invalid, and
-- it finds that before it offers the task.
-- Guard: the task is waiting, pending or picked.
-- Index: primary key.
-- Called by taskmaster.tasks.bulk.apply.
UPDATE taskmaster_tasks_task AS task
SET
    status = CASE WHEN task.status = 'waiting' THEN 'waiting' ELSE 'pending' END,
    queue = COALESCE(%(queue)s::text, task.queue),
    priority = COALESCE(%(priority)s::smallint, task.priority),
    lease = task.lease + 1,
    coordinator = NULL,
    picked_at = NULL
WHERE
    task.id = ANY(%(ids)s::bigint[])
    AND task.status || '' IN ('waiting', 'pending', 'picked')
RETURNING task.id, task.name, task.queue
