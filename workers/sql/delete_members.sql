-- Purpose: delete the rows of processes that are gone.
-- Guard: none.
-- Index: primary key.
-- Called by taskmaster.workers.pools.local_members.
DELETE FROM taskmaster_workers_poolmember AS member
WHERE member.id = ANY (%(ids)s::bigint[])
