-- The workers of a dead coordinator that have not come back elsewhere. Called by the lifeline.
UPDATE workers_worker AS worker
SET
    status = 'offline',
    busy = 0
WHERE
    worker.coordinator = %(coordinator)s
    AND worker.status <> 'offline'
