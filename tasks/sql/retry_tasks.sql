-- Purpose: retry tasks. failed, cancelled -> pending, due now, with at least one attempt left. The
-- run of a schedule counts as running again for the overlap policies.
-- Guard: the task is failed or cancelled.
-- Index: primary key, taskmaster_runs_newest.
-- Called by taskmaster.tasks.task_actions for one task.
-- Called by taskmaster.tasks.bulk.apply for many tasks.
WITH before AS (
    SELECT id, status
    FROM taskmaster_tasks_task
    WHERE
        id = ANY(%(ids)s::bigint[])
        AND status || '' IN ('failed', 'cancelled')
    FOR UPDATE
),
retried AS (
    UPDATE taskmaster_tasks_task AS task
    SET
        status = 'pending',
        scheduled_at = now(),
        max_attempts = GREATEST(task.max_attempts, task.attempt + 1),
        coordinator = NULL,
        picked_at = NULL,
        started_at = NULL,
        failed_at = NULL,
        cancelled_at = NULL
    FROM before
    WHERE task.id = before.id
    RETURNING task.id, task.name, task.queue, before.status, task.schedule_id, task.scheduled_for
),
running AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET settled = FALSE
    FROM retried
    WHERE
        run.schedule_id = retried.schedule_id
        AND run.due_at = retried.scheduled_for
        AND run.task_id = retried.id
        AND run.state = 'created'
)
SELECT id, name, queue, status
FROM retried
