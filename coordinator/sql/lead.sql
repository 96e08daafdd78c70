-- Held by one session of all coordinators: its process reconciles the pools. FALSE while another has
-- it. The session that has it must not ask again: each success would count.
-- Called by the listener.
SELECT pg_try_advisory_lock(%(lock_key)s)
