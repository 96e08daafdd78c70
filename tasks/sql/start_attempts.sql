-- Purpose: write started attempts. picked -> started. A repeated report writes the same attempt
-- again. Ages are seconds before now, so only the database's clock is used.
-- Guard: the lease, the task is in flight, and it has no other worker.
-- Index: primary key, for all table statistics. The empty text in the status condition excludes the
-- partial indexes. The lease minus itself is always zero. It makes the planner expect few rows, so
-- that a large batch does not lead to a scan of the table.
-- Called by taskmaster.coordinator.reports.flusher.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'started',
    attempt = report.attempt,
    started_at = now() - make_interval(secs => report.started_age_s),
    worker = report.worker,
    worker_id = report.worker_id
FROM
    unnest(
        %(ids)s::bigint[],
        %(leases)s::bigint[],
        %(attempts)s::int[],
        %(started_ages_s)s::float8[],
        %(workers)s::text[],
        %(worker_ids)s::uuid[]
    ) AS report (id, lease, attempt, started_age_s, worker, worker_id)
WHERE
    task.id = report.id
    AND task.lease = report.lease
    AND report.lease - report.lease = 0
    AND task.status || '' IN ('picked', 'started')
    AND COALESCE(task.worker_id, report.worker_id) = report.worker_id
RETURNING
    task.id,
    task.name,
    task.queue,
    EXTRACT(EPOCH FROM task.started_at - task.scheduled_at)::float8
