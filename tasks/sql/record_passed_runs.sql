-- Purpose: record due times that have passed without a run: one row for each schedule, or none if
-- its newest scheduled run has no task and the same state and reason. That row then covers them.
-- Guard: the caller has locked the schedules.
-- Index: taskmaster_runs_newest, primary key.
-- Called by taskmaster.tasks.schedules.passed.
WITH passed AS MATERIALIZED (
    SELECT *
    FROM
        unnest(
            %(schedule_ids)s::bigint[],
            %(due_ats)s::timestamptz[],
            %(last_due_ats)s::timestamptz[],
            %(counts)s::bigint[],
            %(run_ats)s::timestamptz[],
            %(states)s::text[],
            %(reasons)s::text[]
        ) AS passed (schedule_id, due_at, last_due_at, count, run_at, state, reason)
),
folded AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET
        count = run.count + passed.count,
        last_due_at = COALESCE(passed.last_due_at, passed.due_at)
    FROM passed
    CROSS JOIN LATERAL (
        SELECT earlier.id, earlier.state, earlier.reason, earlier.task_id
        FROM taskmaster_tasks_schedulerun AS earlier
        WHERE earlier.schedule_id = passed.schedule_id AND earlier.kind = 'scheduled'
        ORDER BY earlier.due_at DESC, earlier.id DESC
        LIMIT 1
    ) AS newest
    WHERE
        run.id = newest.id
        AND newest.task_id IS NULL
        AND newest.state = passed.state
        AND newest.reason = passed.reason
    RETURNING run.schedule_id
)
INSERT INTO taskmaster_tasks_schedulerun
    (schedule_id, kind, due_at, last_due_at, count, run_at, state, reason)
SELECT schedule_id, 'scheduled', due_at, last_due_at, count, run_at, state, reason
FROM passed
WHERE schedule_id NOT IN (SELECT schedule_id FROM folded)
