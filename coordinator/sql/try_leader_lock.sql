-- Purpose: try to take the leader lock, whose holder reconciles the worker pools.
-- The result is FALSE while another session holds the lock.
-- Guard: the session that holds the lock must not run this again, because advisory locks stack.
-- Called by taskmaster.coordinator.listener.
SELECT pg_try_advisory_lock(%(lock_key)s)
