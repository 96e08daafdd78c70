-- waiting, pending, picked, started -> cancelled, for good: the lease is dead from here on. The
-- coordinator that holds it is told to stop the execution; a held one is dropped when it falls due.
-- An attempt that ran leaves its entry in `errors`.
-- Guard: not finished. Index: primary key. Called by tasks.operations for one, tasks.bulk for many.
WITH cancelled AS (
    UPDATE tasks_task AS task
    SET
        status = 'cancelled',
        cancelled_at = now(),
        errors = CASE
            WHEN task.status = 'started' THEN task.errors || jsonb_build_object(
                'attempt', task.attempt,
                'worker', task.worker,
                'at', now(),
                'class', 'cancelled',
                'message', 'cancelled while it ran'
            )
            ELSE task.errors
        END
    WHERE
        task.id = ANY(%(ids)s::bigint[])
        AND task.status || '' IN ('waiting', 'pending', 'picked', 'started')
    RETURNING task.id, task.lease, task.coordinator, task.name, task.queue
)
SELECT
    id,
    name,
    queue,
    CASE
        WHEN coordinator IS NOT NULL THEN pg_notify('taskmaster_cancel', id || ' ' || lease)
    END
FROM cancelled
