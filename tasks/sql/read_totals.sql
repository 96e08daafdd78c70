-- Purpose: read the totals of ended tasks, and the rates of the newest ten to twenty seconds. It
-- reads an hour of rolled-up rows and never the tasks.
-- Guard: none; it changes no row.
-- Called by taskmaster.tasks.statistics.read.
SELECT
    COALESCE(sum(complete), 0)::bigint,
    COALESCE(sum(failed), 0)::bigint,
    COALESCE(sum(cancelled), 0)::bigint,
    (COALESCE(sum(GREATEST(complete, 0)) FILTER (WHERE at >= newest.since), 0) / newest.seconds)::float8,
    (COALESCE(sum(GREATEST(failed, 0)) FILTER (WHERE at >= newest.since), 0) / newest.seconds)::float8
FROM (
    SELECT
        date_bin('10 seconds', now(), '2000-01-01 00:00:00+00') - interval '10 seconds' AS since,
        10 + EXTRACT(
            EPOCH FROM now() - date_bin('10 seconds', now(), '2000-01-01 00:00:00+00')
        ) AS seconds
) AS newest
LEFT JOIN taskmaster_tasks_statistic ON TRUE
GROUP BY newest.seconds
