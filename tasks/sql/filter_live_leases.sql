-- Purpose: return the leases that are still in flight.
-- Guard: none; it changes no row. It checks the lease and the status as start_attempts.sql does.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.liveness.heartbeats, with the executions that heartbeats name.
SELECT
    task.id,
    task.lease
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS running (id, lease)
INNER JOIN taskmaster_tasks_task AS task ON task.id = running.id
WHERE
    task.lease = running.lease
    AND running.lease - running.lease = 0
    AND task.status || '' IN ('picked', 'started')
