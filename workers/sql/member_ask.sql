-- These are about to be told to go.
-- Guard: each is told once, for a second signal would cut off what it runs. Called by
-- workers.pools.members.
UPDATE workers_poolmember AS member
SET stop_asked_at = now()
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND member.stop_asked_at IS NULL
RETURNING member.id
