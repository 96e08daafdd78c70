-- Purpose: sum the statistics that are older than the charts into one row, which keeps the totals.
-- Index: primary key.
-- Called by taskmaster.tasks.statistics.depth, once in 1,000 counts.
WITH old AS (
    DELETE FROM taskmaster_tasks_statistic
    WHERE
        at < now() - interval '70 minutes'
        AND at > '2000-01-01 00:00:00+00'
    RETURNING complete, failed, cancelled, retried
)
INSERT INTO taskmaster_tasks_statistic AS base
    (at, source, complete, failed, cancelled, retried, wait, run)
SELECT
    '2000-01-01 00:00:00+00',
    '00000000-0000-0000-0000-000000000000',
    sum(complete),
    sum(failed),
    sum(cancelled),
    sum(retried),
    '{}',
    '{}'
FROM old
HAVING count(*) > 0
ON CONFLICT (at, source) DO UPDATE SET
    complete = base.complete + EXCLUDED.complete,
    failed = base.failed + EXCLUDED.failed,
    cancelled = base.cancelled + EXCLUDED.cancelled,
    retried = base.retried + EXCLUDED.retried
