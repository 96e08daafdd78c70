-- picked -> started: the worker accepted and began the attempt. Reported twice it changes nothing
-- that matters. Ages are seconds before now, so that no other clock than the database's is trusted.
-- Guard: the lease, the task is in flight, and it is no other worker's. Index: primary key, whatever the statistics say: the
-- empty text keeps the partial indexes out of the plan, and the lease less itself, which is always
-- zero, lets the planner expect few rows, so that a large batch is no reason to scan the table.
-- Called by the flusher.
UPDATE tasks_task AS task
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
