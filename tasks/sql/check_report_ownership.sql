-- Purpose: check executions that a worker named and that this coordinator did not hand to it. `own`
-- is true if the execution belongs to the worker, which may have got it from another coordinator.
-- `live` is true if the task is in flight. An execution with an outdated lease is not returned.
-- Guard: none; it changes no row.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.reports.ownership, for unexpected reports.
SELECT
    task.id,
    task.lease,
    report.attempt,
    COALESCE(
        task.worker_id = %(worker_id)s AND COALESCE(report.attempt, task.attempt) = task.attempt,
        FALSE
    ) AS own,
    task.status || '' IN ('picked', 'started') AS live
FROM
    unnest(%(ids)s::bigint[], %(leases)s::bigint[], %(attempts)s::int[])
        AS report (id, lease, attempt)
INNER JOIN taskmaster_tasks_task AS task ON task.id = report.id
WHERE
    task.lease = report.lease
    AND report.lease - report.lease = 0
