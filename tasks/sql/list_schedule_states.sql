-- Purpose: read one page of the schedules that match a search, the one due next first, with the
-- number of schedules of each state, and the first schedules of each state that needs a person.
-- The state follows from the newest run and from the newest run with a task, both at most now.
-- A page behind the last one is the last one.
-- Guard: none; it changes no row.
-- Index: taskmaster_runs_newest, one probe for each schedule that is neither paused nor ended, and
-- a second one if its newest run has no task; the primary key of the tasks.
-- Called by taskmaster.tasks.queries.schedules.
WITH listed AS MATERIALIZED (
    SELECT
        schedule.id,
        schedule.name,
        schedule.next_run_at,
        CASE
            WHEN schedule.ended_at IS NOT NULL THEN 'ended'
            WHEN NOT active.is_active THEN 'paused'
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
    CROSS JOIN LATERAL (
        SELECT
            schedule.ended_at IS NULL
            AND schedule.paused_at IS NULL
            -- A subquery without a reference to the schedule is evaluated once.
            AND NOT EXISTS (
                SELECT FROM taskmaster_tasks_schedulerstate AS everything
                WHERE everything.id = 1 AND everything.paused_at IS NOT NULL
            ) AS is_active
    ) AS active
    LEFT JOIN LATERAL (
        SELECT
            run.state,
            run.task_id
        FROM taskmaster_tasks_schedulerun AS run
        WHERE
            active.is_active
            AND run.schedule_id = schedule.id
            AND run.run_at <= now()
            AND run.state <> 'withdrawn'
        ORDER BY run.due_at DESC, run.id DESC
        LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT run.task_id
        FROM taskmaster_tasks_schedulerun AS run
        WHERE
            newest.state IS NOT NULL
            AND newest.task_id IS NULL
            AND run.schedule_id = schedule.id
            AND run.run_at <= now()
            AND run.task_id IS NOT NULL
            AND run.state <> 'withdrawn'
        ORDER BY run.due_at DESC, run.id DESC
        LIMIT 1
    ) AS made ON true
    LEFT JOIN taskmaster_tasks_task AS task
        ON task.id = coalesce(newest.task_id, made.task_id)
    WHERE
        (%(schedule_id)s::bigint IS NULL OR schedule.id = %(schedule_id)s)
        AND (
            %(search)s = ''
            OR schedule.name ILIKE %(search)s
            OR schedule.task ILIKE %(search)s
        )
),
counted AS (
    SELECT
        listed.state,
        count(*) AS number
    FROM listed
    GROUP BY listed.state
)
SELECT
    'count' AS part,
    counted.state,
    counted.number,
    '' AS name
FROM counted
UNION ALL
SELECT
    'named',
    counted.state,
    first.id,
    first.name
FROM counted
CROSS JOIN LATERAL (
    SELECT
        listed.id,
        listed.name
    FROM listed
    WHERE listed.state = counted.state
    ORDER BY listed.next_run_at NULLS LAST, listed.name
    LIMIT %(named)s
) AS first
WHERE counted.state IN ('late', 'failed', 'paused')
UNION ALL
(
    SELECT
        'row',
        listed.state,
        listed.id,
        listed.name
    FROM listed
    WHERE %(state)s = '' OR listed.state = %(state)s
    ORDER BY listed.state = 'ended', listed.next_run_at NULLS LAST, listed.name
    LIMIT %(rows)s
    OFFSET (
        SELECT %(rows)s * least(
            %(page)s - 1, greatest(0, coalesce(sum(counted.number), 0)::bigint - 1) / %(rows)s
        )
        FROM counted
        WHERE %(state)s = '' OR counted.state = %(state)s
    )
)
