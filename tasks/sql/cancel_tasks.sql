-- Purpose: cancel tasks. waiting, pending, picked, started -> cancelled. The lease is invalid
-- afterwards. The coordinator that holds the task is notified and stops the execution. A held task
-- is dropped when it falls due. A started attempt gets an entry in `errors`.
-- Guard: the task has not ended.
-- Index: primary key.
-- Called by taskmaster.tasks.task_actions for one task.
-- Called by taskmaster.tasks.bulk.apply for many tasks.
-- Called by taskmaster.tasks.schedules.withdrawal for runs that have not started.
-- Called by taskmaster.coordinator.schedules.run_writer, where a run replaces earlier ones.
WITH cancelled AS (
    UPDATE taskmaster_tasks_task AS task
    SET
        status = 'cancelled',
        cancelled_at = now(),
        waiting_reason = '',
        waiting_for = '',
        errors = CASE
            WHEN task.status = 'started' THEN task.errors || jsonb_build_object(
                'attempt', task.attempt,
                'worker', task.worker,
                'due', task.scheduled_at,
                'started', task.started_at,
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
