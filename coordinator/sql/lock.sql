-- Held by the session for as long as the coordinator lives; free means that it is dead. The server
-- looks after 10 s of silence whether the other side is still there, and gives up after 15 more.
-- FALSE while another session has the lock: one that broke, or a peer that cleans up.
-- Called by the listener.
SELECT
    set_config('tcp_keepalives_idle', '10', FALSE),
    set_config('tcp_keepalives_interval', '5', FALSE),
    set_config('tcp_keepalives_count', '3', FALSE),
    pg_try_advisory_lock(%(lock_key)s)
