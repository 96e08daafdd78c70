-- Purpose: list when the first run of each of these schedules starts that was created ahead. Schedules
-- without such a run are left out.
-- Guard: none; it changes no row.
-- Index: taskmaster_runs_newest. Only jitter separates the start of a run from its due time, so the
-- range of due times is short.
-- Called by taskmaster.tasks.queries.schedules.
SELECT
    run.schedule_id,
    min(run.run_at)
FROM taskmaster_tasks_schedule AS schedule
INNER JOIN taskmaster_tasks_schedulerun AS run
    ON
        run.schedule_id = schedule.id
        AND run.due_at > now() - schedule.jitter_s * interval '1 second'
WHERE
    schedule.id = ANY(%(ids)s)
    AND run.run_at > now()
    AND run.kind = 'scheduled'
    AND run.state = 'created'
GROUP BY run.schedule_id
