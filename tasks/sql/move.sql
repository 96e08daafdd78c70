-- pending, picked -> pending at another time, although a coordinator may hold it: that one finds its
-- lease gone when it wants to offer. Guard: not begun. Index: primary key.
-- Called by tasks.operations for one, tasks.bulk for many.
UPDATE tasks_task AS task
SET
    status = 'pending',
    scheduled_at = %(scheduled_at)s,
    lease = task.lease + 1,
    coordinator = NULL,
    picked_at = NULL
WHERE
    task.id = ANY(%(ids)s::bigint[])
    AND task.status || '' IN ('pending', 'picked')
RETURNING task.id, task.name, task.queue
