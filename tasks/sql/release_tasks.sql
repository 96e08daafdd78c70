-- Purpose: release tasks. picked -> pending if no worker accepted the task or no slot was free.
-- started -> pending only if `handed_back` is true: the worker itself hands the task back. A release
-- costs no attempt: the attempt that was counted at the start is subtracted. An offer that was
-- accepted at the last moment stays with its worker. `unused` is true if no worker can run the
-- task under this lease: it was not offered, or the worker itself hands it back.
-- Guard: the lease and the status. An offered task must still belong to this coordinator. A
-- hand-back is valid at any coordinator.
-- Index: primary key.
-- Called by taskmaster.coordinator.reports.flusher.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    attempt = task.attempt - CASE WHEN task.status = 'started' THEN 1 ELSE 0 END,
    unused_leases = task.unused_leases + CASE WHEN report.unused THEN 1 ELSE 0 END,
    coordinator = NULL,
    picked_at = NULL,
    started_at = NULL
FROM
    unnest(
        %(ids)s::bigint[],
        %(leases)s::bigint[],
        %(handed_back)s::bool[],
        %(unused)s::bool[]
    ) AS report (id, lease, handed_back, unused)
WHERE
    task.id = report.id
    AND task.lease = report.lease
    AND report.lease - report.lease = 0
    AND (
        task.status || '' = 'picked'
        OR report.handed_back AND task.status || '' = 'started'
    )
    AND (report.handed_back OR task.coordinator = %(coordinator)s)
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
