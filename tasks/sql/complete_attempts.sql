-- Purpose: write completed attempts. picked, started -> complete. If a start and its end are in the
-- same flush, this is the only write.
-- Guard: as in start_attempts.sql.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.reports.flusher.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'complete',
    attempt = report.attempt,
    started_at = now() - make_interval(secs => report.started_age_s),
    completed_at = now() - make_interval(secs => report.finished_age_s),
    worker = report.worker,
    worker_id = report.worker_id,
    result = report.result::json
FROM
    unnest(
        %(ids)s::bigint[],
        %(leases)s::bigint[],
        %(attempts)s::int[],
        %(started_ages_s)s::float8[],
        %(finished_ages_s)s::float8[],
        %(workers)s::text[],
        %(worker_ids)s::uuid[],
        %(results)s::text[]
    ) AS report (id, lease, attempt, started_age_s, finished_age_s, worker, worker_id, result)
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
