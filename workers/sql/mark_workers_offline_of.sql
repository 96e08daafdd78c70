-- Purpose: take the workers of a dead coordinator offline that have not reconnected elsewhere. How they
-- ended is unknown unless they sent a last heartbeat, and they may still run.
-- Guard: the worker still belongs to that coordinator.
-- Index: none.
-- Called by taskmaster.coordinator.process and taskmaster.coordinator.liveness.peers.
UPDATE taskmaster_workers_worker AS worker
SET
    status = 'offline',
    busy = 0
WHERE
    worker.coordinator = %(coordinator)s
    AND worker.status <> 'offline'
