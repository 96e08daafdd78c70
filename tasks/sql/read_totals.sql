-- Purpose: read the last count of the tasks by status, and the rates of the newest ten to twenty
-- seconds. All numbers of tasks are of one snapshot. It reads an hour of rolled-up rows and never
-- the tasks.
-- Guard: none; it changes no row. `counted_at` is NULL if the tasks were never counted.
-- Called by taskmaster.tasks.statistics.read.
SELECT
    COALESCE(depth.pending, 0)::bigint,
    COALESCE(depth.due, 0)::bigint,
    depth.oldest_due,
    COALESCE(depth.held, 0)::bigint,
    COALESCE(depth.running, 0)::bigint,
    COALESCE(depth.waiting, 0)::bigint,
    COALESCE(snapshot.complete, 0),
    COALESCE(snapshot.failed, 0),
    COALESCE(snapshot.cancelled, 0),
    (rates.complete / newest.seconds)::float8,
    (rates.failed / newest.seconds)::float8,
    snapshot.counted_at,
    snapshot.took_s
FROM (
    SELECT
        date_bin('10 seconds', now(), '2000-01-01 00:00:00+00') - interval '10 seconds' AS since,
        10 + EXTRACT(
            EPOCH FROM now() - date_bin('10 seconds', now(), '2000-01-01 00:00:00+00')
        ) AS seconds
) AS newest
CROSS JOIN LATERAL (
    SELECT
        COALESCE(sum(GREATEST(complete, 0)), 0) AS complete,
        COALESCE(sum(GREATEST(failed, 0)), 0) AS failed
    FROM taskmaster_tasks_statistic
    WHERE at >= newest.since
) AS rates
CROSS JOIN (
    SELECT
        sum(pending) AS pending,
        sum(due) AS due,
        min(oldest_due) AS oldest_due,
        sum(held) AS held,
        sum(running) AS running,
        sum(waiting) AS waiting
    FROM taskmaster_tasks_queuedepth
) AS depth
LEFT JOIN taskmaster_tasks_depthsnapshot AS snapshot ON TRUE
