-- Which of these join tokens are valid no more. That a token is used up does not concern workers
-- that have joined with it.
-- Index: primary key.
-- Called by the gate.
SELECT id
FROM workers_jointoken
WHERE
    id = ANY(%(ids)s::bigint[])
    AND (revoked_at IS NOT NULL OR expires_at <= now())
