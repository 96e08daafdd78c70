-- Workers of other hosts that are taken for gone, so that others are started in their place: whoever
-- comes back all the same, from the far side of a cut network, is told to stop by its coordinator
-- with its first heartbeat. Rare, so it needs no index. Called by workers.pools.members.
UPDATE workers_worker AS worker
SET command = 'stop'
FROM workers_poolmember AS member
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND worker.pool_name = member.pool
    AND worker.name = member.name
    AND worker.host = member.host
    AND worker.pid = member.pid
    AND worker.registered_at >= member.started_at
    AND worker.command = ''
