-- A worker came back and names what it runs: those leases are this coordinator's to watch now.
-- What is not returned is stale. Changes no status. Guard and index as in start.sql.
-- Called by the dispatcher at a worker's hello and by the lifeline at its heartbeat.
UPDATE tasks_task AS task
SET coordinator = %(coordinator)s
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS running (id, lease)
WHERE
    task.id = running.id
    AND task.lease = running.lease
    AND running.lease - running.lease = 0
    AND task.status || '' IN ('picked', 'started')
RETURNING task.id, task.attempt, task.max_attempts, task.queue
