-- Purpose: write the number of consecutive heartbeats that each worker has missed.
-- Guard: the worker still belongs to this coordinator.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.workers.
UPDATE taskmaster_workers_worker AS worker
SET heartbeat_misses = silent.misses
FROM unnest(%(ids)s::uuid[], %(misses)s::int[]) AS silent (id, misses)
WHERE
    worker.id = silent.id
    AND worker.coordinator = %(coordinator)s
