-- Purpose: set the desired number of workers and wake the reconciler. Failures are cleared, so that
-- the pool is tried again immediately.
-- Guard: the number is within the pool's bounds. The row is locked first, so that of two concurrent
-- calls the later one wins and each returns the number that it replaced.
-- Index: unique (name).
-- Called by taskmaster.workers.pools.operations.
WITH before AS (
    SELECT
        id,
        desired
    FROM taskmaster_workers_workerpool
    WHERE name = %(name)s
    FOR UPDATE
),
changed AS (
    UPDATE taskmaster_workers_workerpool AS pool
    SET
        desired = %(count)s,
        scaled_at = now(),
        failures = 0,
        retry_at = NULL,
        state = CASE WHEN pool.desired = %(count)s THEN 'steady' ELSE 'scaling' END,
        error = ''
    FROM before
    WHERE
        pool.id = before.id
        AND %(count)s BETWEEN pool.minimum AND pool.maximum
    RETURNING before.desired AS desired_before
)
SELECT
    desired_before,
    pg_notify('taskmaster_pool', '')
FROM changed
