-- Purpose: mark runs as withdrawn. They do not count towards the number of runs of their schedules.
-- Guard: the caller has locked their tasks, which have not started, and cancels them.
-- Index: primary keys.
-- Called by taskmaster.tasks.schedules.withdrawal.
WITH withdrawn AS (
    UPDATE taskmaster_tasks_schedulerun
    SET
        state = 'withdrawn',
        reason = %(reason)s,
        settled = TRUE
    WHERE id = ANY(%(ids)s::bigint[])
    RETURNING schedule_id
),
counted AS (
    SELECT schedule_id, count(*) AS number
    FROM withdrawn
    GROUP BY schedule_id
)
UPDATE taskmaster_tasks_schedule AS schedule
SET runs_made = GREATEST(schedule.runs_made - counted.number, 0)
FROM counted
WHERE schedule.id = counted.schedule_id
