-- Purpose: write the heartbeats of many workers in one statement, and return the requests of
-- operators for them. The last heartbeat of a worker also records how it ends.
-- Guard: the worker is registered with this coordinator and not offline. A heartbeat that is written
-- after its worker left, or joined another coordinator, must not bring the row back.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.heartbeats.
UPDATE taskmaster_workers_worker AS worker
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
    ended = CASE
        WHEN NOT beat.leaving THEN ''
        WHEN worker.drain AND worker.command = '' THEN 'drained'
        ELSE 'stopped'
    END,
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
        %(draining)s::bool[],
        %(leaving)s::bool[]
    ) AS beat (
        id, slots, busy, rss_bytes, cpu, tasks_done, tasks_failed, loop_lag_ms, draining, leaving
    )
WHERE
    worker.id = beat.id
    AND worker.coordinator = %(coordinator)s
    AND worker.status <> 'offline'
RETURNING worker.id, worker.drain, worker.command
