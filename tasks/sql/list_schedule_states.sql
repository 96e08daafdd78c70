-- Purpose: list every schedule that matches a search, or one schedule, with its state, the one
-- due next first. The state follows from the newest run and from the newest run with a
-- task, both at most now.
-- Guard: none; it changes no row.
-- Index: taskmaster_runs_newest, two probes for each schedule; the primary key of the tasks.
-- Called by taskmaster.tasks.queries.schedules.
SELECT
    schedule.id,
    schedule.name,
    CASE
        WHEN schedule.ended_at IS NOT NULL THEN 'ended'
        WHEN schedule.paused_at IS NOT NULL OR everything.paused_at IS NOT NULL THEN 'paused'
        WHEN
            schedule.next_run_at < now() - %(late_s)s * interval '1 second'
            OR newest.state IN ('missed', 'outside_window')
            OR (
                task.status IN ('waiting', 'pending', 'picked')
                AND task.attempt = 0
                AND task.scheduled_at < now() - %(late_s)s * interval '1 second'
            )
        THEN 'late'
        WHEN task.status = 'started' THEN 'running'
        WHEN newest.state = 'refused' OR task.status = 'failed' THEN 'failed'
        ELSE 'on time'
    END AS state
FROM taskmaster_tasks_schedule AS schedule
LEFT JOIN taskmaster_tasks_schedulerstate AS everything
    ON everything.id = 1
LEFT JOIN LATERAL (
    SELECT run.state
    FROM taskmaster_tasks_schedulerun AS run
    WHERE
        run.schedule_id = schedule.id
        AND run.run_at <= now()
        AND run.state <> 'withdrawn'
    ORDER BY run.due_at DESC, run.id DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT run.task_id
    FROM taskmaster_tasks_schedulerun AS run
    WHERE
        run.schedule_id = schedule.id
        AND run.run_at <= now()
        AND run.task_id IS NOT NULL
        AND run.state <> 'withdrawn'
    ORDER BY run.due_at DESC, run.id DESC
    LIMIT 1
) AS made ON true
LEFT JOIN taskmaster_tasks_task AS task
    ON task.id = made.task_id
WHERE
    (%(schedule_id)s::bigint IS NULL OR schedule.id = %(schedule_id)s)
    AND (
        %(search)s = ''
        OR schedule.name ILIKE %(search)s
        OR schedule.task ILIKE %(search)s
    )
ORDER BY
    schedule.ended_at IS NOT NULL,
    schedule.next_run_at NULLS LAST,
    schedule.name
