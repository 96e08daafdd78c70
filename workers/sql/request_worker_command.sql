-- Purpose: record that an operator drains, undrains, stops or kills a worker, and notify the
-- coordinators immediately. The worker's coordinator repeats the request with each heartbeat.
-- Guard: the worker is not offline, and an undrain does not follow a stop or kill.
-- Index: primary key.
-- Called by taskmaster.workers.operations and taskmaster.workers.pools.local_members.
WITH requested AS (
    UPDATE taskmaster_workers_worker AS worker
    SET
        drain = CASE %(command)s::text
            WHEN 'drain' THEN TRUE
            WHEN 'undrain' THEN FALSE
            ELSE worker.drain
        END,
        command = CASE
            WHEN %(command)s::text = 'kill' OR worker.command = 'kill' THEN 'kill'
            WHEN %(command)s::text = 'stop' THEN 'stop'
            ELSE worker.command
        END
    WHERE
        worker.id = %(id)s
        AND worker.status <> 'offline'
        AND (%(command)s::text <> 'undrain' OR worker.command = '')
    RETURNING worker.id, worker.name
)
SELECT
    id,
    name,
    pg_notify('taskmaster_worker', id || ' ' || %(command)s::text)
FROM requested
