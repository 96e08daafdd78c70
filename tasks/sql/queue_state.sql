-- What a coordinator's workers can take, by queue; its other rows go, and those of coordinators that
-- have been silent for a minute. Only what has changed is written anew, and the sign of life.
-- Index: the primary key. Called by the coordinator's capacity, at most once a second.
WITH gone AS (
    DELETE FROM tasks_queuestate AS state
    WHERE
        (state.coordinator = %(coordinator)s AND state.queue <> ALL (%(queues)s::text[]))
        OR (
            state.coordinator <> %(coordinator)s
            AND NOT EXISTS (
                SELECT
                FROM tasks_queuestate AS sign
                WHERE
                    sign.coordinator = state.coordinator
                    AND sign.queue = ''
                    AND sign.at > now() - interval '1 minute'
            )
        )
)
INSERT INTO tasks_queuestate AS state (queue, coordinator, workers, slots, free)
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
