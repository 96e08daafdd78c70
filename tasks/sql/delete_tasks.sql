-- Purpose: delete finished tasks and their output permanently. The run of a schedule keeps the status
-- of its task.
-- Guard: the task has ended.
-- Index: primary keys; taskmaster_runs_newest.
-- Called by taskmaster.tasks.bulk.apply.
WITH deleted AS (
    DELETE FROM taskmaster_tasks_task AS task
    WHERE
        task.id = ANY(%(ids)s::bigint[])
        AND task.status || '' IN ('complete', 'failed', 'cancelled')
    RETURNING
        task.id,
        task.name,
        task.queue,
        task.status,
        task.schedule_id,
        task.scheduled_for
),
printed AS (
    DELETE FROM taskmaster_tasks_taskoutput AS output
    USING deleted
    WHERE output.task_id = deleted.id
),
noted AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET outcome = deleted.status
    FROM deleted
    WHERE
        run.schedule_id = deleted.schedule_id
        AND run.due_at = deleted.scheduled_for
        AND run.task_id = deleted.id
)
SELECT id, name, queue, status
FROM deleted
