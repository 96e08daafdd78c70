-- Purpose: return the join tokens that are no longer valid. A used-up token stays valid for workers
-- that have joined with it.
-- Guard: none, because it changes nothing.
-- Index: primary key.
-- Called by taskmaster.coordinator.rpc.join_auth.
SELECT id
FROM taskmaster_workers_jointoken
WHERE
    id = ANY(%(ids)s::bigint[])
    AND (revoked_at IS NOT NULL OR expires_at <= now())
