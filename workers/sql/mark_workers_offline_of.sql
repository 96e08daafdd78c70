-- Purpose: take the workers of a dead coordinator offline that have not reconnected elsewhere, and
-- record how they ended.
-- Guard: the worker still belongs to that coordinator.
-- Index: none.
-- Called by taskmaster.coordinator.process and taskmaster.coordinator.liveness.peers.
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
    worker.coordinator = %(coordinator)s
    AND worker.status <> 'offline'
