-- Every pool, with what was found last and how many of its workers are registered now.
-- Index: worker_of_pool. Called by workers.pools.store.
SELECT
    pool.name,
    pool.provider,
    pool.desired,
    pool.concurrency,
    pool.kind,
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
FROM workers_workerpool AS pool
LEFT JOIN LATERAL (
    SELECT count(*) AS staying
    FROM workers_worker AS worker
    WHERE
        worker.pool_name = pool.name
        AND worker.status = 'online'
        AND NOT worker.drain
        AND worker.command = ''
) AS present ON TRUE
ORDER BY pool.name
