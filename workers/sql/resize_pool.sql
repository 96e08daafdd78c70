-- Purpose: set the size of a pool with autoscaling. A failing pool keeps its state and its pause.
-- Guard: the desired number is the one on which the decision was based, so an operator's change
-- wins.
-- Index: unique (name).
-- Called by taskmaster.workers.pools.autoscale_loop.
UPDATE taskmaster_workers_workerpool
SET
    desired = %(count)s,
    scaled_at = now(),
    state = CASE WHEN state = 'steady' THEN 'scaling' ELSE state END
WHERE name = %(pool)s AND autoscale AND desired = %(desired)s
RETURNING name
