-- Counts what waits and runs, queue by queue, unless another process is counting or has just done so.
-- Its cost is that of the open tasks, not of the history. Returns how long ago it was counted and what
-- that took, in seconds. Indexes: idx_tasks_scheduled_at, idx_tasks_in_flight. Called by the census.
WITH turn AS MATERIALIZED (
    SELECT 1 AS mine
    WHERE
        pg_try_advisory_xact_lock(%(turn)s)
        AND NOT EXISTS (
            SELECT FROM tasks_census
            WHERE counted_at > now() - make_interval(secs => %(fresh_s)s)
        )
),
pending AS MATERIALIZED (
    SELECT
        task.queue,
        count(*) AS pending,
        count(*) FILTER (WHERE task.scheduled_at <= now()) AS due,
        min(task.scheduled_at) AS oldest
    FROM tasks_task AS task
    WHERE
        task.status = 'pending'
        AND (SELECT mine FROM turn) = 1
    GROUP BY task.queue
),
flying AS MATERIALIZED (
    SELECT
        task.queue,
        count(*) FILTER (WHERE task.status = 'picked') AS held,
        count(*) FILTER (WHERE task.status = 'started') AS running
    FROM tasks_task AS task
    WHERE
        task.status IN ('picked', 'started')
        AND (SELECT mine FROM turn) = 1
    GROUP BY task.queue
),
counted AS (
    INSERT INTO tasks_depth AS depth (queue, pending, due, oldest_due, held, running)
    SELECT
        queue,
        COALESCE(pending.pending, 0),
        COALESCE(pending.due, 0),
        CASE WHEN pending.due > 0 THEN pending.oldest END,
        COALESCE(flying.held, 0),
        COALESCE(flying.running, 0)
    FROM pending
    FULL JOIN flying USING (queue)
    ON CONFLICT (queue) DO UPDATE SET
        pending = EXCLUDED.pending,
        due = EXCLUDED.due,
        oldest_due = EXCLUDED.oldest_due,
        held = EXCLUDED.held,
        running = EXCLUDED.running
    WHERE
        (depth.pending, depth.due, depth.oldest_due, depth.held, depth.running)
        IS DISTINCT FROM
        (
            EXCLUDED.pending, EXCLUDED.due, EXCLUDED.oldest_due, EXCLUDED.held, EXCLUDED.running
        )
),
emptied AS (
    DELETE FROM tasks_depth AS depth
    WHERE
        (SELECT mine FROM turn) = 1
        AND NOT EXISTS (SELECT FROM pending WHERE pending.queue = depth.queue)
        AND NOT EXISTS (SELECT FROM flying WHERE flying.queue = depth.queue)
)
INSERT INTO tasks_census AS census (id, counted_at, took_s)
SELECT
    1,
    now(),
    EXTRACT(EPOCH FROM clock_timestamp() - statement_timestamp())
FROM turn
WHERE (SELECT count(*) FROM pending) + (SELECT count(*) FROM flying) >= 0
ON CONFLICT (id) DO UPDATE SET
    counted_at = EXCLUDED.counted_at,
    took_s = EXCLUDED.took_s
RETURNING took_s
