-- Somebody wants so many workers. What had failed is tried anew at once; the reconciler is woken.
-- Guard: within the pool's bounds. The row is locked first, so that of two the later one stands and
-- each knows what it changed. Called by workers.pools.operations.
WITH before AS (
    SELECT
        id,
        desired
    FROM workers_workerpool
    WHERE name = %(name)s
    FOR UPDATE
),
changed AS (
    UPDATE workers_workerpool AS pool
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
