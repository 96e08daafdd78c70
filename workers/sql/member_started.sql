-- Processes that have started. Called by workers.pools.members.
UPDATE workers_poolmember AS member
SET
    pid = started.pid,
    born = started.born
FROM unnest(%(ids)s::bigint[], %(pids)s::int[], %(borns)s::bigint[]) AS started (id, pid, born)
WHERE member.id = started.id
