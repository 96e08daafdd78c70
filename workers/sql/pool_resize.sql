-- Another size for a pool that scales by itself, unless an operator was faster.
-- Guard: the size it was decided from. Called by workers.pools.scaler.
UPDATE workers_workerpool
SET
    desired = %(wanted)s,
    scaled_at = now(),
    state = 'scaling'
WHERE name = %(pool)s AND autoscale AND desired = %(desired)s
RETURNING name
