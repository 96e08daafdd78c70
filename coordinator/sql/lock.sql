-- Held by the session for as long as the coordinator lives; free means that it is dead.
-- Called by the listener.
SELECT pg_advisory_lock(%(lock_key)s)
