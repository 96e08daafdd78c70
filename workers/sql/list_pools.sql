-- Purpose: return every pool with its last findings and its number of registered workers.
-- Guard: none, because it changes nothing.
-- Index: taskmaster_worker_of_pool.
-- Called by taskmaster.workers.pools.reconciler.
SELECT
    pool.name,
    pool.provider,
    pool.desired,
    pool.concurrency,
    pool.executor,
    pool.queues,
    pool.environment,
    pool.stop_limit_s,
    pool.actual,
    pool.registered,
    pool.draining,
    pool.state,
    pool.error,
    pool.last_log,
    pool.failures,
    extract(EPOCH FROM pool.retry_at - now())::float8 AS retry_in_s,
    extract(EPOCH FROM now() - pool.reconciled_at)::float8 AS age_s,
    coalesce(present.staying, 0) AS staying
FROM taskmaster_workers_workerpool AS pool
LEFT JOIN LATERAL (
    SELECT count(*) AS staying
    FROM taskmaster_workers_worker AS worker
    WHERE
        worker.pool = pool.name
        AND worker.status = 'online'
        AND NOT worker.drain
        AND worker.command = ''
) AS present ON TRUE
ORDER BY pool.name
