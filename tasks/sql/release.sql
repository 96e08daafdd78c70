-- picked -> pending: nobody accepted, or no slot was free. started -> pending too where `begun` says
-- that the worker itself hands it back. Costs no attempt: the one that was counted at the start is
-- taken back. An offer that was accepted at the last moment stays with its worker.
-- Guard: as in start.sql; what was offered is still this coordinator's. A hand-back counts whichever
-- coordinator it reaches. Index: primary key.
-- Called by the flusher.
UPDATE tasks_task AS task
SET
    status = 'pending',
    attempt = task.attempt - CASE WHEN task.status = 'started' THEN 1 ELSE 0 END,
    coordinator = NULL,
    picked_at = NULL,
    started_at = NULL
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[], %(begun)s::bool[]) AS report (id, lease, begun)
WHERE
    task.id = report.id
    AND task.lease = report.lease
    AND report.lease - report.lease = 0
    AND (
        task.status || '' = 'picked'
        OR report.begun AND task.status || '' = 'started'
    )
    AND (report.begun OR task.coordinator = %(coordinator)s)
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
