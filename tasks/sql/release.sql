-- picked, started -> pending: nobody accepted, no slot was free, or a stopping worker hands back.
-- Costs no attempt: the one that was counted at the start is taken back.
-- Guard and index as in start.sql. Called by the flusher and the held tasks' keeper.
UPDATE tasks_task AS task
SET
    status = 'pending',
    attempt = task.attempt - CASE WHEN task.status = 'started' THEN 1 ELSE 0 END,
    coordinator = NULL,
    picked_at = NULL,
    started_at = NULL
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS report (id, lease)
WHERE
    task.id = report.id
    AND task.lease = report.lease
    AND report.lease - report.lease = 0
    AND task.status || '' IN ('picked', 'started')
RETURNING task.id
