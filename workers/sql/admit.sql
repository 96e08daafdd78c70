-- A worker says hello with a join token: a use of it less, unless the worker has joined with it
-- before.
-- Guard: the token is not revoked, not expired, has a use left, and no worker of this id joined
-- with another token or with none. Two workers that come at once queue for the token's row, and
-- the second sees the uses that the first has left.
-- Index: primary keys.
-- Called by the lifeline, before it registers the worker in the same transaction.
UPDATE workers_jointoken AS token
SET
    last_used_at = now(),
    uses_left = token.uses_left - CASE WHEN EXISTS (
        SELECT FROM workers_worker AS worker
        WHERE worker.id = %(worker)s AND worker.join_token_id = token.id
    ) THEN 0 ELSE 1 END
WHERE
    token.id = %(token)s
    AND token.revoked_at IS NULL
    AND (token.expires_at IS NULL OR token.expires_at > now())
    AND NOT EXISTS (
        SELECT FROM workers_worker AS worker
        WHERE worker.id = %(worker)s AND worker.join_token_id IS DISTINCT FROM token.id
    )
    AND (
        token.uses_left IS NULL
        OR token.uses_left > 0
        OR EXISTS (
            SELECT FROM workers_worker AS worker
            WHERE worker.id = %(worker)s AND worker.join_token_id = token.id
        )
    )
RETURNING token.id
