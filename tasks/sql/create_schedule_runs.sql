-- Purpose: store the planned runs of schedules with their tasks, and move the schedules on. Each row
-- of `ids` and the arrays of the same length is a schedule; each row of `run_*` is a run of the
-- schedule at `run_positions`. The overlap policy is decided here: `blocking` holds the tasks of
-- earlier runs that have not ended. No CTE is joined with another large one, since the planner
-- expects one row of each. A run without a task is folded into the newest run if that has the same
-- state and reason. A schedule that is locked, or that another session has moved on, is left out.
-- The tasks that `cancels` lists must be cancelled in the same transaction.
-- Guard: the schedule has the version and the next due time of the plan, the clock is within the
-- limits of the plan, and the pause of everything is the one of the plan. The unique index
-- taskmaster_one_run_per_due_time makes sure of one run per due time.
-- Index: primary keys, taskmaster_runs_unsettled, taskmaster_runs_queued, taskmaster_runs_newest.
-- Called by taskmaster.coordinator.schedules.run_writer.
WITH state AS MATERIALIZED (
    SELECT id
    FROM taskmaster_tasks_schedulerstate
    WHERE id = 1 AND paused_at IS NOT DISTINCT FROM %(halted_at)s::timestamptz
    FOR NO KEY UPDATE
),
plan AS MATERIALIZED (
    SELECT *
    FROM
        unnest(
            %(ids)s::bigint[],
            %(versions)s::bigint[],
            %(due_ats)s::timestamptz[],
            %(act_ats)s::timestamptz[],
            %(valid_untils)s::timestamptz[],
            %(next_due_ats)s::timestamptz[],
            %(next_run_ats)s::timestamptz[],
            %(ended_reasons)s::text[],
            %(pause_reasons)s::text[],
            %(missed)s::bigint[],
            %(queues)s::text[],
            %(priorities)s::smallint[],
            %(max_attempts)s::integer[],
            %(timeouts_s)s::float8[],
            %(retry_bases_s)s::float8[],
            %(retry_caps_s)s::float8[],
            %(on_lost_contacts)s::text[],
            %(tags)s::text[]
        ) WITH ORDINALITY AS plan (
            schedule_id, version, due_at, act_at, valid_until, next_due_at, next_run_at,
            ended_reason, new_pause_reason, missed, queue, priority, max_attempts, timeout_s,
            retry_base_s, retry_cap_s, on_lost_contact, tags, position
        )
),
locked AS MATERIALIZED (
    SELECT
        plan.*,
        schedule.overlap,
        schedule.max_runs,
        schedule.runs_made,
        schedule.task,
        schedule.args,
        schedule.kwargs,
        schedule.owner_id
    FROM plan
    INNER JOIN taskmaster_tasks_schedule AS schedule ON schedule.id = plan.schedule_id
    WHERE
        EXISTS (SELECT FROM state)
        AND schedule.version = plan.version
        AND schedule.next_due_at = plan.due_at
        -- The caller may act early by the time of a round trip. An earlier or later time means that
        -- its clock was changed, or that it was stopped.
        AND now() BETWEEN plan.act_at - interval '1 second' AND plan.valid_until
    FOR NO KEY UPDATE OF schedule SKIP LOCKED
),
settled AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET settled = TRUE
    FROM locked
    WHERE
        run.schedule_id = locked.schedule_id
        AND locked.overlap <> 'allow'
        AND run.task_id IS NOT NULL
        AND NOT run.settled
        AND NOT EXISTS (
            SELECT
            FROM taskmaster_tasks_task AS task
            WHERE
                task.id = run.task_id
                AND task.status || '' IN ('waiting', 'pending', 'picked', 'started')
        )
),
decided AS MATERIALIZED (
    SELECT
        locked.*,
        run.number,
        run.due_at AS run_due_at,
        run.last_due_at,
        run.count,
        run.run_at,
        run.reason,
        blocking.task_ids,
        blocking.task_id AS blocking_id,
        blocking.due_at AS blocking_due_at,
        CASE
            WHEN NOT run.starts THEN run.state
            WHEN locked.overlap IN ('allow', 'cancel_running') THEN 'created'
            WHEN waiting.schedule_id IS NOT NULL THEN 'overlap'
            WHEN blocking.task_id IS NULL THEN 'created'
            WHEN locked.overlap = 'queue_one' THEN 'queued'
            ELSE 'overlap'
        END AS state
    FROM locked
    -- A schedule whose maximum number of runs is reached has a plan without runs.
    LEFT JOIN
        unnest(
            %(run_positions)s::bigint[],
            %(run_numbers)s::bigint[],
            %(run_due_ats)s::timestamptz[],
            %(run_last_due_ats)s::timestamptz[],
            %(run_counts)s::bigint[],
            %(run_ats)s::timestamptz[],
            %(run_states)s::text[],
            %(run_reasons)s::text[],
            %(run_starts)s::boolean[]
        ) AS run (position, number, due_at, last_due_at, count, run_at, state, reason, starts)
        ON run.position = locked.position
    LEFT JOIN LATERAL (
        SELECT
            array_agg(task.id) AS task_ids,
            -- Name the newest of them.
            max(task.id) AS task_id,
            to_char(max(earlier.due_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS due_at
        FROM taskmaster_tasks_schedulerun AS earlier
        INNER JOIN taskmaster_tasks_task AS task ON task.id = earlier.task_id
        WHERE
            run.starts
            AND locked.overlap <> 'allow'
            AND earlier.schedule_id = locked.schedule_id
            AND earlier.task_id IS NOT NULL
            AND NOT earlier.settled
            AND task.status || '' IN ('waiting', 'pending', 'picked', 'started')
    ) AS blocking ON TRUE
    LEFT JOIN LATERAL (
        SELECT queued.schedule_id
        FROM taskmaster_tasks_schedulerun AS queued
        WHERE
            run.starts
            AND locked.overlap = 'queue_one'
            AND queued.schedule_id = locked.schedule_id
            AND queued.state = 'queued'
        LIMIT 1
    ) AS waiting ON TRUE
),
entry AS MATERIALIZED (
    SELECT
        schedule_id,
        task,
        args,
        kwargs,
        queue,
        priority,
        max_attempts,
        timeout_s,
        retry_base_s,
        retry_cap_s,
        on_lost_contact,
        tags,
        owner_id,
        number,
        run_due_at,
        last_due_at,
        count,
        run_at,
        state,
        left(
            CASE
                WHEN state = 'overlap' AND blocking_id IS NULL
                    THEN 'A run that was queued had not started.'
                WHEN state IN ('overlap', 'queued')
                    THEN format(
                        'The run of %%s UTC had not ended: task %%s.', blocking_due_at, blocking_id
                    )
                WHEN state = 'created' AND overlap = 'cancel_running' AND blocking_id IS NOT NULL
                    THEN concat_ws(
                        ' ',
                        NULLIF(reason, ''),
                        format(
                            'Cancelled the run of %%s UTC: task %%s.', blocking_due_at, blocking_id
                        )
                    )
                WHEN state = 'created' AND reason = '' AND now() > run_at + interval '1 second'
                    THEN format(
                        'Created %%s s late: the coordinator or the database was slow.',
                        round(EXTRACT(EPOCH FROM now() - run_at), 1)
                    )
                ELSE reason
            END,
            500
        ) AS reason,
        CASE
            WHEN state = 'created'
                THEN nextval(pg_get_serial_sequence('taskmaster_tasks_task', 'id'))
        END AS task_id,
        CASE
            WHEN state = 'created' AND overlap = 'cancel_running' THEN task_ids
        END AS cancels
    FROM decided
),
folded AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET
        count = run.count + entry.count,
        last_due_at = COALESCE(entry.last_due_at, entry.run_due_at)
    FROM entry
    CROSS JOIN LATERAL (
        SELECT earlier.id, earlier.state, earlier.reason, earlier.task_id
        FROM taskmaster_tasks_schedulerun AS earlier
        WHERE earlier.schedule_id = entry.schedule_id AND earlier.kind = 'scheduled'
        ORDER BY earlier.due_at DESC, earlier.id DESC
        LIMIT 1
    ) AS newest
    WHERE
        run.id = newest.id
        AND entry.number = 0
        AND entry.state NOT IN ('created', 'queued')
        AND newest.task_id IS NULL
        AND newest.state = entry.state
        AND newest.reason = entry.reason
    RETURNING entry.schedule_id
),
inserted AS (
    INSERT INTO taskmaster_tasks_schedulerun
        (schedule_id, kind, due_at, last_due_at, count, run_at, state, reason, task_id)
    SELECT
        schedule_id, 'scheduled', run_due_at, last_due_at, count, run_at, state, reason, task_id
    FROM entry
    WHERE number > 0 OR (number = 0 AND schedule_id NOT IN (SELECT schedule_id FROM folded))
    ON CONFLICT DO NOTHING
    RETURNING schedule_id, due_at
),
created AS (
    INSERT INTO taskmaster_tasks_task
        (
            id, name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s,
            retry_base_s, retry_cap_s, on_lost_contact, tags, created_by_id, schedule_id,
            scheduled_for
        )
    SELECT
        task_id,
        task,
        args,
        kwargs,
        queue,
        priority,
        -- The claims expect no new task in the past.
        GREATEST(run_at, now()),
        max_attempts,
        timeout_s,
        retry_base_s,
        retry_cap_s,
        on_lost_contact,
        tags::text[],
        owner_id,
        schedule_id,
        run_due_at
    FROM entry
    WHERE
        task_id IS NOT NULL
        -- IS TRUE keeps the planner from a join, which would be a loop over all pairs of rows.
        AND ((schedule_id, run_due_at) IN (SELECT schedule_id, due_at FROM inserted)) IS TRUE
),
made AS MATERIALIZED (
    SELECT
        schedule_id,
        next_due_at,
        next_run_at,
        ended_reason,
        new_pause_reason,
        max_runs,
        runs_made + count(*) FILTER (WHERE state IN ('created', 'queued')) AS runs_made,
        max(run_at) AS last_run_at
    FROM decided
    GROUP BY
        schedule_id, next_due_at, next_run_at, ended_reason, new_pause_reason, max_runs, runs_made
),
moved AS (
    UPDATE taskmaster_tasks_schedule AS schedule
    SET
        next_due_at = CASE WHEN NOT after.is_full THEN after.next_due_at END,
        next_run_at = CASE WHEN NOT after.is_full THEN after.next_run_at END,
        runs_made = after.runs_made,
        ended_at = CASE
            WHEN after.is_full OR after.next_due_at IS NULL THEN GREATEST(now(), after.last_run_at)
        END,
        ended_reason = CASE
            WHEN after.is_full
                THEN format('The maximum number of runs was reached: %%s.', after.max_runs)
            ELSE after.ended_reason
        END,
        paused_at = CASE WHEN after.new_pause_reason = '' THEN schedule.paused_at ELSE now() END,
        paused_by = CASE WHEN after.new_pause_reason = '' THEN schedule.paused_by ELSE '' END,
        pause_reason = CASE
            WHEN after.new_pause_reason = '' THEN schedule.pause_reason
            ELSE after.new_pause_reason
        END,
        version = schedule.version + (after.new_pause_reason <> '')::integer
    FROM (
        SELECT *, max_runs IS NOT NULL AND runs_made >= max_runs AS is_full
        FROM made
    ) AS after
    WHERE schedule.id = after.schedule_id
),
counted AS (
    UPDATE taskmaster_tasks_schedulerstate
    SET missed_total = missed_total + (SELECT sum(missed) FROM locked)
    WHERE id = 1 AND EXISTS (SELECT FROM locked WHERE missed > 0)
)
SELECT
    schedule_id,
    run_due_at,
    run_at,
    state,
    (schedule_id, run_due_at) IN (SELECT schedule_id, due_at FROM inserted),
    task_id,
    task,
    queue,
    COALESCE(cancels, '{}')
FROM entry
WHERE run_due_at IS NOT NULL
ORDER BY run_at
