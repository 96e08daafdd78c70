-- How many heartbeats in a row each of these workers has missed. Called by the lifeline.
UPDATE workers_worker AS worker
SET heartbeat_misses = silent.misses
FROM unnest(%(ids)s::uuid[], %(misses)s::int[]) AS silent (id, misses)
WHERE
    worker.id = silent.id
    AND worker.coordinator = %(coordinator)s
