-- These workers are gone from this coordinator: offline, unless another one has taken them over.
-- Called by the lifeline.
UPDATE workers_worker AS worker
SET
    status = 'offline',
    busy = 0
WHERE
    worker.id = ANY (%(ids)s::uuid[])
    AND worker.coordinator = %(coordinator)s
RETURNING worker.id
