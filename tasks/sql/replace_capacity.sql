-- Purpose: replace the capacity rows of a coordinator, one for each queue. It also deletes the rows
-- of coordinators that have been silent for a minute. Only changed rows are updated, and the row of
-- the queue '', whose `at` is the sign of life.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.capacity, at most once a second.
-- Called by taskmaster.coordinator.process at exit, without rows.
WITH deleted AS (
    DELETE FROM taskmaster_tasks_queuestate AS state
    WHERE
        (state.coordinator = %(coordinator)s AND state.queue <> ALL (%(queues)s::text[]))
        OR (
            state.coordinator <> %(coordinator)s
            AND NOT EXISTS (
                SELECT
                FROM taskmaster_tasks_queuestate AS sign
                WHERE
                    sign.coordinator = state.coordinator
                    AND sign.queue = ''
                    AND sign.at > now() - interval '1 minute'
            )
        )
)
INSERT INTO taskmaster_tasks_queuestate AS state (queue, coordinator, workers, slots, free)
SELECT
    queue,
    %(coordinator)s,
    workers,
    slots,
    free
FROM
    unnest(%(queues)s::text[], %(workers)s::int[], %(slots)s::int[], %(free)s::int[])
        AS capacity (queue, workers, slots, free)
ON CONFLICT (coordinator, queue) DO UPDATE SET
    workers = EXCLUDED.workers,
    slots = EXCLUDED.slots,
    free = EXCLUDED.free,
    at = EXCLUDED.at
WHERE
    EXCLUDED.queue = ''
    OR (state.workers, state.slots, state.free)
    IS DISTINCT FROM (EXCLUDED.workers, EXCLUDED.slots, EXCLUDED.free)
