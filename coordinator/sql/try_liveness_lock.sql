-- Purpose: try to take the advisory lock that proves that a coordinator is alive.
-- The session holds the lock while the coordinator is alive, so a free lock means that it is dead.
-- The server sends keepalive probes after 10 s of silence and closes the connection 15 s later.
-- The result is FALSE while another session holds the lock.
-- That is a broken session of this coordinator, or a peer that takes over.
-- Called by taskmaster.coordinator.listener.
SELECT
    set_config('tcp_keepalives_idle', '10', FALSE),
    set_config('tcp_keepalives_interval', '5', FALSE),
    set_config('tcp_keepalives_count', '3', FALSE),
    pg_try_advisory_lock(%(lock_key)s)
