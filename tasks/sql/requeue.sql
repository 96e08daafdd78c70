-- Gives what has not begun another queue or another priority (NULL: as it is): pending, picked ->
-- pending, although a coordinator may hold it: that one finds its lease gone when it wants to offer.
-- What waits goes on waiting. Guard: not begun. Index: primary key. Called by tasks.bulk.
UPDATE tasks_task AS task
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
