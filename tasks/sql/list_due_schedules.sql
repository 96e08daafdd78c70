-- Purpose: search for the schedules whose runs are to be created, and record the search. Where
-- overlaps are allowed, runs are created `ahead_s` seconds before they start. The other schedules
-- are listed `prepare_s` seconds before. Paused ones are listed too, since their due times are
-- recorded. Also list the schedules with a queued run whose earlier run has ended. There is at least
-- one row; its schedule is NULL if no schedule was found. The columns of the state are those before
-- the search.
-- Guard: none; a search at most a second after another one of the same coordinator is not recorded.
-- Index: taskmaster_schedules_ahead, taskmaster_schedules_due, taskmaster_runs_queued,
-- taskmaster_runs_unsettled, taskmaster_runs_newest, primary keys.
-- Called by taskmaster.coordinator.schedules.runner, once a minute while no schedule is due.
WITH recorded AS (
    INSERT INTO taskmaster_tasks_schedulerstate AS state (id, checked_at, leader)
    VALUES (1, now(), %(leader)s)
    ON CONFLICT (id) DO UPDATE
    SET checked_at = now(), leader = EXCLUDED.leader
    WHERE
        state.checked_at IS NULL
        OR state.checked_at NOT BETWEEN now() - interval '1 second' AND now()
        OR state.leader IS DISTINCT FROM EXCLUDED.leader
),
state AS MATERIALIZED (
    SELECT
        checked_at,
        leader,
        paused_at,
        paused_by,
        pause_reason,
        -- While everything is paused, due times are recorded when they come.
        now() + make_interval(
            secs => CASE WHEN paused_at IS NULL THEN %(ahead_s)s ELSE %(prepare_s)s END
        ) AS ahead_until,
        now() + make_interval(secs => %(prepare_s)s) AS due_until
    FROM (SELECT) AS one
    LEFT JOIN taskmaster_tasks_schedulerstate ON id = 1
),
waiting AS MATERIALIZED (
    SELECT id, schedule_id
    FROM taskmaster_tasks_schedulerun
    WHERE state = 'queued'
),
chosen AS (
    (
        SELECT id, NULL::bigint AS run_id, next_run_at AS at
        FROM taskmaster_tasks_schedule
        WHERE
            next_run_at IS NOT NULL
            AND overlap = 'allow'
            AND paused_at IS NULL
            AND next_run_at <= (SELECT ahead_until FROM state)
        ORDER BY next_run_at
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT id, NULL, next_run_at
        FROM taskmaster_tasks_schedule
        WHERE
            next_run_at IS NOT NULL
            AND (paused_at IS NOT NULL OR NOT overlap = 'allow')
            AND next_run_at <= (SELECT due_until FROM state)
        ORDER BY next_run_at
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT waiting.schedule_id, waiting.id, now()
        FROM waiting
        INNER JOIN taskmaster_tasks_schedule AS schedule ON schedule.id = waiting.schedule_id
        WHERE
            schedule.paused_at IS NULL
            AND (SELECT paused_at IS NULL FROM state)
            AND NOT EXISTS (
                SELECT
                FROM taskmaster_tasks_schedulerun AS run
                INNER JOIN taskmaster_tasks_task AS task ON task.id = run.task_id
                WHERE
                    run.schedule_id = waiting.schedule_id
                    AND run.task_id IS NOT NULL
                    AND NOT run.settled
                    AND task.status IN ('waiting', 'pending', 'picked', 'started')
            )
        LIMIT %(limit)s
    )
)
SELECT
    now(),
    state.checked_at,
    state.leader,
    state.paused_at,
    COALESCE(state.paused_by, ''),
    COALESCE(state.pause_reason, ''),
    EXISTS (SELECT FROM waiting),
    (
        SELECT next_run_at
        FROM taskmaster_tasks_schedule
        WHERE
            next_run_at IS NOT NULL
            AND overlap = 'allow'
            AND paused_at IS NULL
            AND next_run_at > (SELECT ahead_until FROM state)
        ORDER BY next_run_at
        LIMIT 1
    ),
    (
        SELECT next_run_at
        FROM taskmaster_tasks_schedule
        WHERE
            next_run_at IS NOT NULL
            AND (paused_at IS NOT NULL OR NOT overlap = 'allow')
            AND next_run_at > (SELECT due_until FROM state)
        ORDER BY next_run_at
        LIMIT 1
    ),
    chosen.run_id,
    schedule.id,
    schedule.version,
    schedule.name,
    schedule.owner_id,
    schedule.task,
    schedule.args::text,
    schedule.kwargs::text,
    schedule.queue,
    schedule.priority,
    schedule.max_attempts,
    schedule.timeout_s,
    schedule.retry_base_s,
    schedule.retry_cap_s,
    schedule.on_lost_contact,
    schedule.tags::text[],
    schedule.trigger,
    schedule.cron,
    schedule.interval_s,
    schedule.anchor,
    schedule.dates,
    schedule.timezone,
    schedule.skipped_time,
    schedule.repeated_time,
    schedule.starts_at,
    schedule.ends_at,
    schedule.max_runs,
    schedule.jitter_s,
    schedule.missed,
    schedule.missed_max,
    schedule.catch_up_s,
    schedule.overlap,
    schedule.paused_at,
    schedule.paused_by,
    schedule.pause_reason,
    schedule.next_due_at,
    schedule.next_run_at,
    schedule.runs_made,
    ARRAY(
        SELECT run.due_at
        FROM taskmaster_tasks_schedulerun AS run
        WHERE
            run.schedule_id = schedule.id
            AND run.due_at > schedule.next_due_at
            AND run.kind = 'scheduled'
            AND run.state <> 'withdrawn'
    )
FROM state
LEFT JOIN chosen ON TRUE
-- OFFSET 0 makes the planner read each row by its id. A join would read all schedules.
LEFT JOIN LATERAL (
    SELECT *
    FROM taskmaster_tasks_schedule
    WHERE id = chosen.id
    OFFSET 0
) AS schedule ON TRUE
ORDER BY chosen.at
