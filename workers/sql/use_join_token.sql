-- Purpose: take one use of a join token for a worker that sends a hello, unless the worker has
-- joined with it before. It runs in the transaction that registers the worker.
-- Guard: the token is not revoked, not expired and has a use left, and no worker of this id joined
-- with another token or without one. Two concurrent workers queue for the token's row, and the
-- second sees the uses that the first has left.
-- Index: primary keys.
-- Called by taskmaster.coordinator.liveness.workers.
UPDATE taskmaster_workers_jointoken AS token
SET
    last_used_at = now(),
    uses_left = token.uses_left - CASE WHEN EXISTS (
        SELECT FROM taskmaster_workers_worker AS worker
        WHERE worker.id = %(worker)s AND worker.join_token_id = token.id
    ) THEN 0 ELSE 1 END
WHERE
    token.id = %(token)s
    AND token.revoked_at IS NULL
    AND (token.expires_at IS NULL OR token.expires_at > now())
    AND NOT EXISTS (
        SELECT FROM taskmaster_workers_worker AS worker
        WHERE worker.id = %(worker)s AND worker.join_token_id IS DISTINCT FROM token.id
    )
    AND (
        token.uses_left IS NULL
        OR token.uses_left > 0
        OR EXISTS (
            SELECT FROM taskmaster_workers_worker AS worker
            WHERE worker.id = %(worker)s AND worker.join_token_id = token.id
        )
    )
RETURNING token.id
