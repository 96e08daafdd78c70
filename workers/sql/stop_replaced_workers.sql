-- Purpose: stop workers of other hosts that are considered gone, because other workers are started
-- in their place. A worker that returns after a network partition gets the command from its
-- coordinator with its first heartbeat.
-- Guard: the worker has no command yet.
-- Index: none, because the statement is rare.
-- Called by taskmaster.workers.pools.local_members.
UPDATE taskmaster_workers_worker AS worker
SET command = 'stop'
FROM taskmaster_workers_poolmember AS member
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND worker.pool = member.pool
    AND worker.name = member.name
    AND worker.host = member.host
    AND worker.pid = member.pid
    AND worker.registered_at >= member.started_at
    AND worker.command = ''
