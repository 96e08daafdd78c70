-- Purpose: return the processes of a pool that the local provider started. Each comes with its
-- worker's row that is not offline, if there is one.
-- Guard: none, because it changes nothing.
-- Index: taskmaster_member_by_pool, taskmaster_worker_of_pool.
-- Called by taskmaster.workers.pools.local_members.
SELECT
    member.id,
    member.name,
    member.host,
    member.pid,
    member.born,
    member.log_path,
    extract(EPOCH FROM now() - member.started_at)::float8 AS age_s,
    extract(EPOCH FROM now() - member.stop_asked_at)::float8 AS asked_age_s,
    worker.id AS worker_id,
    worker.pid AS worker_pid,
    coalesce(worker.busy, 0) AS busy,
    coalesce(worker.status = 'draining' OR worker.drain OR worker.command <> '', FALSE) AS leaving
FROM taskmaster_workers_poolmember AS member
LEFT JOIN LATERAL (
    SELECT *
    FROM taskmaster_workers_worker AS worker
    WHERE
        worker.pool = member.pool
        AND worker.status <> 'offline'
        AND worker.name = member.name
        AND worker.host = member.host
        AND (worker.pid = member.pid OR member.pid IS NULL)
        AND worker.registered_at >= member.started_at
    ORDER BY worker.registered_at DESC
    LIMIT 1
) AS worker ON TRUE
WHERE member.pool = %(pool)s
ORDER BY member.started_at, member.id
