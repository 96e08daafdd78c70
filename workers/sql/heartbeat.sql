-- Writes what many workers said of themselves, in one go, and learns what operators want of them.
-- Called by the lifeline.
UPDATE workers_worker AS worker
SET
    status = CASE WHEN beat.draining THEN 'draining' ELSE 'online' END,
    slots = beat.slots,
    busy = beat.busy,
    rss_bytes = beat.rss_bytes,
    cpu = beat.cpu,
    tasks_done = beat.tasks_done,
    tasks_failed = beat.tasks_failed,
    loop_lag_ms = beat.loop_lag_ms,
    heartbeat_misses = 0,
    coordinator = %(coordinator)s,
    last_seen_at = now()
FROM
    unnest(
        %(ids)s::uuid[],
        %(slots)s::int[],
        %(busy)s::int[],
        %(rss_bytes)s::bigint[],
        %(cpu)s::float8[],
        %(tasks_done)s::bigint[],
        %(tasks_failed)s::bigint[],
        %(loop_lags_ms)s::int[],
        %(draining)s::bool[]
    ) AS beat (id, slots, busy, rss_bytes, cpu, tasks_done, tasks_failed, loop_lag_ms, draining)
WHERE worker.id = beat.id
RETURNING worker.id, worker.drain, worker.command
