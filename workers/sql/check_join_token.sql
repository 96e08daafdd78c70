-- Purpose: return the join token with this digest, and why this worker must not join with it
-- (empty: it may). It does not admit the worker, because the last use may be taken before the
-- admission.
-- Guard: none, because it changes nothing.
-- Index: unique (digest), primary key of workers.
-- Called by taskmaster.coordinator.rpc.join_auth.
SELECT
    token.id,
    token.name,
    CASE
        WHEN token.revoked_at IS NOT NULL THEN 'it is revoked'
        WHEN token.expires_at <= now() THEN 'it is expired'
        WHEN worker.join_token_id <> token.id THEN 'the worker joined with another'
        WHEN worker.id IS NOT NULL AND worker.join_token_id IS NULL THEN 'the worker joined without'
        WHEN worker.id IS NULL AND token.uses_left = 0 THEN 'it is used up'
        ELSE ''
    END AS fault
FROM taskmaster_workers_jointoken AS token
LEFT JOIN taskmaster_workers_worker AS worker ON worker.id = %(worker)s
WHERE token.digest = %(digest)s
