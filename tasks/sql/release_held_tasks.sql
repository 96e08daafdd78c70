-- Purpose: release the tasks that a coordinator held or had offered. picked -> pending. Tasks that
-- another coordinator has adopted are not included. With `only_future`, it releases only tasks that
-- are not due yet and thus were not offered. A release costs no attempt.
-- Guard: the task is picked and still belongs to that coordinator.
-- Index: taskmaster_tasks_in_flight.
-- Called by taskmaster.coordinator.liveness.peers for a dead coordinator.
-- Called by taskmaster.coordinator.process at exit.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    -- A task that is not due yet was not offered.
    unused_leases = task.unused_leases + CASE WHEN task.scheduled_at > now() THEN 1 ELSE 0 END,
    coordinator = NULL,
    picked_at = NULL
WHERE
    task.coordinator = %(coordinator)s
    AND task.status = 'picked'
    AND (NOT %(only_future)s OR task.scheduled_at > now())
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
