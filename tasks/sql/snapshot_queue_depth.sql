-- Purpose: count pending, held, running and parked tasks by queue, and add up the ended ones of the
-- same snapshot, so that all numbers agree. It does nothing if another process is counting, or if the
-- last count is younger than `fresh_s`. Its cost depends on the open tasks, not on finished ones. It
-- returns the duration in seconds, and no row if it did not count.
-- Guard: an advisory lock until the commit.
-- Index: idx_tasks_scheduled_at, taskmaster_tasks_in_flight, taskmaster_tasks_waiting.
-- Called by taskmaster.tasks.statistics.depth.
WITH lock AS MATERIALIZED (
    SELECT 1 AS taken
    WHERE
        pg_try_advisory_xact_lock(%(lock_key)s)
        AND NOT EXISTS (
            SELECT FROM taskmaster_tasks_depthsnapshot
            WHERE counted_at > now() - make_interval(secs => %(fresh_s)s)
        )
),
pending AS MATERIALIZED (
    SELECT
        task.queue,
        count(*) AS pending,
        count(*) FILTER (WHERE task.scheduled_at <= now()) AS due,
        min(task.scheduled_at) AS oldest
    FROM taskmaster_tasks_task AS task
    WHERE
        task.status = 'pending'
        AND (SELECT taken FROM lock) = 1
    GROUP BY task.queue
),
in_flight AS MATERIALIZED (
    SELECT
        task.queue,
        count(*) FILTER (WHERE task.status = 'picked') AS held,
        count(*) FILTER (WHERE task.status = 'started') AS running
    FROM taskmaster_tasks_task AS task
    WHERE
        task.status IN ('picked', 'started')
        AND (SELECT taken FROM lock) = 1
    GROUP BY task.queue
),
parked AS MATERIALIZED (
    SELECT task.queue, count(*) AS waiting
    FROM taskmaster_tasks_task AS task
    WHERE
        task.status = 'waiting'
        AND (SELECT taken FROM lock) = 1
    GROUP BY task.queue
),
ended AS MATERIALIZED (
    SELECT
        COALESCE(sum(complete), 0)::bigint AS complete,
        COALESCE(sum(failed), 0)::bigint AS failed,
        COALESCE(sum(cancelled), 0)::bigint AS cancelled
    FROM taskmaster_tasks_statistic
    WHERE (SELECT taken FROM lock) = 1
),
counted AS (
    INSERT INTO taskmaster_tasks_queuedepth AS depth
        (queue, pending, due, oldest_due, held, running, waiting)
    SELECT
        queue,
        COALESCE(pending.pending, 0),
        COALESCE(pending.due, 0),
        CASE WHEN pending.due > 0 THEN pending.oldest END,
        COALESCE(in_flight.held, 0),
        COALESCE(in_flight.running, 0),
        COALESCE(parked.waiting, 0)
    FROM pending
    FULL JOIN in_flight USING (queue)
    FULL JOIN parked USING (queue)
    ON CONFLICT (queue) DO UPDATE SET
        pending = EXCLUDED.pending,
        due = EXCLUDED.due,
        oldest_due = EXCLUDED.oldest_due,
        held = EXCLUDED.held,
        running = EXCLUDED.running,
        waiting = EXCLUDED.waiting
    WHERE
        (depth.pending, depth.due, depth.oldest_due, depth.held, depth.running, depth.waiting)
        IS DISTINCT FROM
        (
            EXCLUDED.pending, EXCLUDED.due, EXCLUDED.oldest_due, EXCLUDED.held, EXCLUDED.running,
            EXCLUDED.waiting
        )
),
emptied AS (
    DELETE FROM taskmaster_tasks_queuedepth AS depth
    WHERE
        (SELECT taken FROM lock) = 1
        AND NOT EXISTS (SELECT FROM pending WHERE pending.queue = depth.queue)
        AND NOT EXISTS (SELECT FROM in_flight WHERE in_flight.queue = depth.queue)
        AND NOT EXISTS (SELECT FROM parked WHERE parked.queue = depth.queue)
)
INSERT INTO taskmaster_tasks_depthsnapshot (id, counted_at, took_s, complete, failed, cancelled)
SELECT
    1,
    now(),
    EXTRACT(EPOCH FROM clock_timestamp() - statement_timestamp()),
    ended.complete,
    ended.failed,
    ended.cancelled
FROM lock
CROSS JOIN ended
WHERE
    (SELECT count(*) FROM pending)
    + (SELECT count(*) FROM in_flight)
    + (SELECT count(*) FROM parked)
    >= 0
ON CONFLICT (id) DO UPDATE SET
    counted_at = EXCLUDED.counted_at,
    took_s = EXCLUDED.took_s,
    complete = EXCLUDED.complete,
    failed = EXCLUDED.failed,
    cancelled = EXCLUDED.cancelled
RETURNING took_s
