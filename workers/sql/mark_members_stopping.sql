-- Purpose: record that these processes are about to be asked to stop.
-- Guard: each process is asked once, because a second signal would interrupt its running tasks.
-- Index: primary key.
-- Called by taskmaster.workers.pools.local_members.
UPDATE taskmaster_workers_poolmember AS member
SET stop_asked_at = now()
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND member.stop_asked_at IS NULL
RETURNING member.id
