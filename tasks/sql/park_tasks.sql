-- Purpose: park claimed tasks whose name no connected worker knows. picked -> waiting. Parking uses
-- no attempt. The tasks were not offered, so no attempt runs under their leases.
-- Guard: the lease, the status and the coordinator.
-- Index: primary key.
-- Called by taskmaster.coordinator.dispatch.parking.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'waiting',
    waiting_reason = 'unknown_name',
    waiting_for = task.name,
    unused_leases = task.unused_leases + 1,
    coordinator = NULL,
    picked_at = NULL
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS claimed (id, lease)
WHERE
    task.id = claimed.id
    AND task.lease = claimed.lease
    AND claimed.lease - claimed.lease = 0
    AND task.status || '' = 'picked'
    AND task.coordinator = %(coordinator)s
RETURNING
    task.id,
    task.name,
    task.queue,
    task.status,
    task.attempt,
    task.max_attempts,
    task.worker,
    task.worker_id,
    EXTRACT(EPOCH FROM task.scheduled_at - now())::float8
