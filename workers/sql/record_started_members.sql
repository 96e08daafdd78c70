-- Purpose: record the pids and start times of processes that have started.
-- Guard: none.
-- Index: primary key.
-- Called by taskmaster.workers.pools.local_members.
UPDATE taskmaster_workers_poolmember AS member
SET
    pid = started.pid,
    born = started.born
FROM unnest(%(ids)s::bigint[], %(pids)s::int[], %(borns)s::bigint[]) AS started (id, pid, born)
WHERE member.id = started.id
