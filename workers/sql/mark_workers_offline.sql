-- Purpose: take workers offline that have left this coordinator.
-- Guard: no other coordinator has taken the worker over.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.workers.
UPDATE taskmaster_workers_worker AS worker
SET
    status = 'offline',
    busy = 0
WHERE
    worker.id = ANY (%(ids)s::uuid[])
    AND worker.coordinator = %(coordinator)s
RETURNING worker.id
