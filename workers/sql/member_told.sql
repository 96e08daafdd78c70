-- Which of these processes, gone by now, an operator had told to drain, stop or die. Rare, so it
-- needs no index. Called by workers.pools.members.
SELECT DISTINCT member.id
FROM workers_poolmember AS member
JOIN workers_worker AS worker
    ON worker.pool_name = member.pool
    AND worker.name = member.name
    AND worker.host = member.host
    AND worker.pid = member.pid
    AND worker.registered_at >= member.started_at
WHERE
    member.id = ANY (%(ids)s::bigint[])
    AND (worker.drain OR worker.command <> '')
