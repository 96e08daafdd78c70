-- Of executions that a coordinator has not handed to the worker that names them: whether each is that
-- worker's all the same (it came from another coordinator), and whether it is live. What is not
-- returned is nobody's. Changes nothing. Index as in start.sql.
-- Called by the coordinator for reports that it did not expect.
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
INNER JOIN tasks_task AS task ON task.id = report.id
WHERE
    task.lease = report.lease
    AND report.lease - report.lease = 0
