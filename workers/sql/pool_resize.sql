-- Another size for a pool that scales by itself, unless an operator was faster. A pool in trouble
-- stays so: its pauses are over when they are over.
-- Guard: the size it was decided from. Called by workers.pools.scaler.
UPDATE workers_workerpool
SET
    desired = %(wanted)s,
    scaled_at = now(),
    state = CASE WHEN state = 'steady' THEN 'scaling' ELSE state END
WHERE name = %(pool)s AND autoscale AND desired = %(desired)s
RETURNING name
