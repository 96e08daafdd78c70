-- Purpose: lock the tasks of scheduled runs that have not started, of one schedule or of all, with
-- due times from `since` to `until`.
-- Guard: the task has not ended, and no attempt of it was accepted.
-- Index: taskmaster_runs_newest or taskmaster_runs_unsettled, and the primary key of the tasks.
-- Called by taskmaster.tasks.schedules.withdrawal.
SELECT run.id, run.task_id
FROM taskmaster_tasks_schedule AS schedule
INNER JOIN taskmaster_tasks_schedulerun AS run
    ON run.schedule_id = schedule.id
INNER JOIN taskmaster_tasks_task AS task
    ON task.id = run.task_id
WHERE
    (%(schedule_id)s::bigint IS NULL OR schedule.id = %(schedule_id)s::bigint)
    AND run.due_at BETWEEN %(since)s::timestamptz AND %(until)s::timestamptz
    AND run.kind = 'scheduled'
    AND run.task_id IS NOT NULL
    AND NOT run.settled
    AND task.attempt = 0
    AND task.status || '' IN ('waiting', 'pending', 'picked')
ORDER BY task.id
FOR UPDATE OF task
