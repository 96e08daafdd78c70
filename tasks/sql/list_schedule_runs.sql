-- Purpose: list the newest runs of each of these schedules that are not in the future, with the
-- state of their tasks, newest first. Withdrawn runs are left out: they were replaced.
-- Times are seconds of the epoch: psycopg parses numbers ten times faster than times.
-- Guard: none; it changes no row.
-- Index: taskmaster_runs_newest, at most `most` rows for each schedule; the primary key of the
-- tasks.
-- Called by taskmaster.tasks.queries.schedule_runs.
SELECT
    run.schedule_id,
    run.id,
    run.kind,
    run.state,
    extract(EPOCH FROM run.due_at)::float8,
    extract(EPOCH FROM run.last_due_at)::float8,
    run.count,
    extract(EPOCH FROM run.run_at)::float8,
    run.reason,
    run.user,
    run.task_id,
    coalesce(task.status, nullif(run.outcome, '')),
    task.attempt,
    task.error,
    extract(EPOCH FROM task.scheduled_at)::float8,
    extract(EPOCH FROM task.started_at)::float8,
    extract(EPOCH FROM coalesce(task.completed_at, task.failed_at, task.cancelled_at))::float8
FROM unnest(%(ids)s::bigint []) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT newest.*
    FROM taskmaster_tasks_schedulerun AS newest
    WHERE
        newest.schedule_id = wanted.id
        AND newest.run_at <= now()
        AND newest.state <> 'withdrawn'
    ORDER BY newest.due_at DESC, newest.id DESC
    LIMIT %(most)s
) AS run
LEFT JOIN taskmaster_tasks_task AS task
    ON task.id = run.task_id
ORDER BY run.schedule_id, run.due_at DESC, run.id DESC
