-- The join token with this digest: its id, its name, and what makes it invalid (empty: nothing).
-- Index: unique (digest).
-- Called by the gate.
SELECT
    id,
    name,
    CASE
        WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired'
        ELSE ''
    END AS fault
FROM workers_jointoken
WHERE digest = %(digest)s
