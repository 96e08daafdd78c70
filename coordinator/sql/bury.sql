-- TRUE when the coordinator is dead and this transaction alone may clean up after it.
-- Called by the lifeline.
SELECT pg_try_advisory_xact_lock(%(lock_key)s)
