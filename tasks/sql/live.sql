-- Which of these leases are still held. Changes nothing. Guard and index as in start.sql.
-- Called by the lifeline with the executions that heartbeats name.
SELECT
    task.id,
    task.lease
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS running (id, lease)
INNER JOIN tasks_task AS task ON task.id = running.id
WHERE
    task.lease = running.lease
    AND running.lease - running.lease = 0
    AND task.status || '' IN ('picked', 'started')
