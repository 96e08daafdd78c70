-- Purpose: count the outcomes of the newest runs of the last day, and name the newest one of each
-- outcome. Runs that have not ended are left out, and so are due times that did not run because a
-- user or a rule decided so. A folded row counts if its first due time is within the day.
-- Guard: none; it changes no row.
-- Index: taskmaster_runs_by_time, at most `most` rows; the primary key of the tasks.
-- Called by taskmaster.tasks.queries.schedule_runs.
WITH newest AS MATERIALIZED (
    SELECT
        run.id,
        run.state,
        run.count,
        run.task_id,
        run.outcome
    FROM taskmaster_tasks_schedulerun AS run
    WHERE
        run.run_at > now() - interval '1 day'
        AND run.run_at <= now()
        AND run.kind = 'scheduled'
        AND run.state IN ('created', 'missed', 'outside_window', 'refused')
    ORDER BY run.run_at DESC
    LIMIT %(most)s
),
counted AS (
    SELECT
        CASE
            WHEN newest.state = 'refused' THEN 'refused'
            WHEN newest.state <> 'created' THEN 'missed'
            WHEN newest.outcome <> '' THEN newest.outcome
            WHEN task.status IN ('complete', 'failed', 'cancelled') THEN task.status
        END AS outcome,
        sum(newest.count)::bigint AS number,
        count(*) AS read,
        max(newest.id) AS last_id
    FROM newest
    LEFT JOIN LATERAL (
        SELECT each.status
        FROM taskmaster_tasks_task AS each
        WHERE each.id = newest.task_id
        -- Forces one probe for each run. A hash join would read all tasks.
        LIMIT 1
    ) AS task ON true
    GROUP BY 1
)
SELECT
    counted.outcome,
    counted.number,
    sum(counted.read) OVER ()::bigint,
    run.id,
    schedule.id,
    schedule.name
FROM counted
INNER JOIN taskmaster_tasks_schedulerun AS run
    ON run.id = counted.last_id
INNER JOIN taskmaster_tasks_schedule AS schedule
    ON schedule.id = run.schedule_id
ORDER BY counted.outcome
