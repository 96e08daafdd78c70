-- A worker said hello: makes its row, or brings it back online under its new coordinator.
-- Called by the lifeline.
INSERT INTO workers_worker
    (
        id, name, host, pid, status, pool, pool_name, queues, slots, coordinator, join_token_id
    )
VALUES
    (
        %(id)s,
        %(name)s,
        %(host)s,
        %(pid)s,
        'online',
        %(pool)s,
        %(pool_name)s,
        %(queues)s::text[],
        %(slots)s,
        %(coordinator)s,
        %(join_token)s
    )
ON CONFLICT (id) DO UPDATE SET
    status = 'online',
    coordinator = EXCLUDED.coordinator,
    join_token_id = EXCLUDED.join_token_id,
    heartbeat_misses = 0,
    last_seen_at = now()
