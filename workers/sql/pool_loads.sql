-- What the pools that scale by themselves have to do: what is due in their queues, as last counted,
-- and what their workers run and have ended. Changes nothing.
-- Index: worker_of_pool. Called by workers.pools.scaler.
SELECT
    pool.name,
    pool.desired,
    pool.minimum,
    pool.maximum,
    pool.concurrency,
    pool.target_wait_s,
    pool.cool_down_s,
    COALESCE(waiting.due, 0)::bigint AS due,
    COALESCE(waiting.oldest_wait_s, 0)::float8 AS oldest_wait_s,
    COALESCE(working.busy, 0)::bigint AS busy,
    COALESCE(working.ended, 0)::bigint AS ended
FROM workers_workerpool AS pool
CROSS JOIN LATERAL (
    SELECT
        sum(depth.due) AS due,
        EXTRACT(EPOCH FROM now() - min(depth.oldest_due)) AS oldest_wait_s
    FROM tasks_depth AS depth
    WHERE pool.queues = '{}' OR depth.queue = ANY (pool.queues)
) AS waiting
CROSS JOIN LATERAL (
    SELECT
        sum(worker.busy) FILTER (WHERE worker.status <> 'offline') AS busy,
        sum(worker.tasks_done + worker.tasks_failed) AS ended
    FROM workers_worker AS worker
    WHERE worker.pool_name = pool.name
) AS working
WHERE pool.autoscale
