-- Purpose: return the load of the pools with autoscaling: the due tasks of their queues at the last
-- count, and the busy slots and ended tasks of their workers.
-- Guard: none, because it changes nothing.
-- Index: taskmaster_worker_of_pool.
-- Called by taskmaster.workers.pools.autoscale_loop.
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
FROM taskmaster_workers_workerpool AS pool
CROSS JOIN LATERAL (
    SELECT
        sum(depth.due) AS due,
        EXTRACT(EPOCH FROM now() - min(depth.oldest_due)) AS oldest_wait_s
    FROM taskmaster_tasks_queuedepth AS depth
    WHERE pool.queues = '{}' OR depth.queue = ANY (pool.queues)
) AS waiting
CROSS JOIN LATERAL (
    SELECT
        sum(worker.busy) FILTER (WHERE worker.status <> 'offline') AS busy,
        sum(worker.tasks_done + worker.tasks_failed) AS ended
    FROM taskmaster_workers_worker AS worker
    WHERE worker.pool = pool.name
) AS working
WHERE pool.autoscale
