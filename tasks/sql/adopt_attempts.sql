-- Purpose: adopt the executions that a reconnecting worker lists. picked -> started when
-- the worker accepted the task but the start was not written; otherwise the task could not be
-- rescued if the worker died now. A lease that is not returned is stale.
-- Guard: as in start_attempts.sql.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.liveness.workers, when a worker connects.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'started',
    attempt = task.attempt + CASE WHEN task.status = 'picked' THEN 1 ELSE 0 END,
    started_at = CASE WHEN task.status = 'picked' THEN now() ELSE task.started_at END,
    coordinator = %(coordinator)s,
    worker = %(worker)s,
    worker_id = %(worker_id)s
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS running (id, lease)
WHERE
    task.id = running.id
    AND task.lease = running.lease
    AND running.lease - running.lease = 0
    AND task.status || '' IN ('picked', 'started')
    AND COALESCE(task.worker_id, %(worker_id)s) = %(worker_id)s
RETURNING task.id, task.attempt, task.max_attempts, task.queue
