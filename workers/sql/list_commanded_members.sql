-- Purpose: return the ended processes that an operator had asked to drain, stop or kill.
-- Guard: none, because it changes nothing.
-- Index: none for the workers, because the statement is rare.
-- Called by taskmaster.workers.pools.local_members.
SELECT DISTINCT member.id
FROM taskmaster_workers_poolmember AS member
JOIN taskmaster_workers_worker AS worker
    ON worker.pool = member.pool
    AND worker.name = member.name
    AND worker.host = member.host
    AND worker.pid = member.pid
    AND worker.registered_at >= member.started_at
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND (worker.drain OR worker.command <> '')
