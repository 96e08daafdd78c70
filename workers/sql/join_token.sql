-- The join token with this digest: its id, its name, and what is against this worker's joining with
-- it (empty: nothing). It is admitted by another statement, since uses may go meanwhile.
-- Index: unique (digest); primary key of workers.
-- Called by the gate.
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
FROM workers_jointoken AS token
LEFT JOIN workers_worker AS worker ON worker.id = %(worker)s
WHERE token.digest = %(digest)s
