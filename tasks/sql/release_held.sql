-- picked -> pending: what a dead coordinator held, or had offered to workers of which none has
-- announced it to another coordinator. `future`: only what is not due yet, which it cannot have
-- offered. Costs no attempt.
-- Guard: picked and still with that coordinator. Index: idx_tasks_in_flight.
-- Called by the peers' watch.
UPDATE tasks_task AS task
SET
    status = 'pending',
    coordinator = NULL,
    picked_at = NULL
WHERE
    task.coordinator = %(coordinator)s
    AND task.status = 'picked'
    AND (NOT %(future)s OR task.scheduled_at > now())
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
