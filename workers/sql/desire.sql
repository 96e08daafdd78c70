-- An operator wants a worker to drain or not to, to stop, or to be killed; its coordinator is told at
-- once, and again with each heartbeat.
-- Guard: it is not offline, nor about to stop when it is to take tasks again. Called by
-- workers.operations.
WITH wanted AS (
    UPDATE workers_worker AS worker
    SET
        drain = CASE %(wanted)s::text
            WHEN 'drain' THEN TRUE
            WHEN 'undrain' THEN FALSE
            ELSE worker.drain
        END,
        command = CASE
            WHEN %(wanted)s::text = 'kill' OR worker.command = 'kill' THEN 'kill'
            WHEN %(wanted)s::text = 'stop' THEN 'stop'
            ELSE worker.command
        END
    WHERE
        worker.id = %(id)s
        AND worker.status <> 'offline'
        AND (%(wanted)s::text <> 'undrain' OR worker.command = '')
    RETURNING worker.id, worker.name
)
SELECT
    id,
    name,
    pg_notify('taskmaster_worker', id || ' ' || %(wanted)s::text)
FROM wanted
