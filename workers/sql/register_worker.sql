-- Purpose: insert a worker that sent a hello, or bring its row back online under its new
-- coordinator.
-- Guard: none.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.workers.
INSERT INTO taskmaster_workers_worker
    (
        id, name, host, pid, status, executor, pool, queues, tasks, slots, coordinator, join_token_id
    )
VALUES
    (
        %(id)s,
        %(name)s,
        %(host)s,
        %(pid)s,
        'online',
        %(executor)s,
        %(pool)s,
        %(queues)s::text[],
        %(tasks)s::text[],
        %(slots)s,
        %(coordinator)s,
        %(join_token)s
    )
ON CONFLICT (id) DO UPDATE SET
    status = 'online',
    coordinator = EXCLUDED.coordinator,
    join_token_id = EXCLUDED.join_token_id,
    heartbeat_misses = 0,
    ended = '',
    last_seen_at = now()
