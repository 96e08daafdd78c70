-- Purpose: take workers offline that have left this coordinator, and record how they ended. Only a
-- worker that sent its last heartbeat has recorded that itself.
-- Guard: no other coordinator has taken the worker over.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.workers.
UPDATE taskmaster_workers_worker AS worker
SET
    status = 'offline',
    busy = 0,
    ended = CASE
        WHEN worker.ended <> '' THEN worker.ended
        WHEN worker.command = 'kill' THEN 'killed'
        ELSE 'lost'
    END
WHERE
    worker.id = ANY (%(ids)s::uuid[])
    AND worker.coordinator = %(coordinator)s
RETURNING worker.id, worker.ended
