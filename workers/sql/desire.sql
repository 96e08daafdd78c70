-- An operator wants a worker to drain, or to take tasks again; its coordinator is told at once.
-- Guard: it is not offline. Called by workers.operations.
WITH wanted AS (
    UPDATE workers_worker AS worker
    SET drain = %(drain)s
    WHERE
        worker.id = %(id)s
        AND worker.status <> 'offline'
    RETURNING worker.id
)
SELECT
    id,
    pg_notify('taskmaster_worker', id || ' ' || %(drain)s::bool::text)
FROM wanted
