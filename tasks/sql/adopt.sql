-- A worker came back and names what it has: those leases are this coordinator's to watch now. What is
-- not returned is stale. picked -> started for what it had accepted without anybody having written it:
-- else nobody would rescue it if the worker died now.
-- Guard and index as in start.sql. Called by the lifeline at a worker's hello.
UPDATE tasks_task AS task
SET
    status = 'started',
    attempt = task.attempt + CASE WHEN task.status = 'picked' THEN 1 ELSE 0 END,
    started_at = CASE WHEN task.status = 'picked' THEN now() ELSE task.started_at END,
    coordinator = %(coordinator)s,
    worker = %(worker)s,
    worker_id = %(worker_id)s
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS running (id, lease)
WHERE
    task.id = running.id
    AND task.lease = running.lease
    AND running.lease - running.lease = 0
    AND task.status || '' IN ('picked', 'started')
    AND COALESCE(task.worker_id, %(worker_id)s) = %(worker_id)s
RETURNING task.id, task.attempt, task.max_attempts, task.queue
