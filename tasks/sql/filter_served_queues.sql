-- Purpose: return the subset of queues that a worker of a live coordinator serves.
-- Guard: none; it changes no row.
-- Called by taskmaster.coordinator.dispatch.parking.
SELECT wanted.queue
FROM unnest(%(queues)s::text[]) AS wanted (queue)
WHERE EXISTS (
    SELECT
    FROM taskmaster_tasks_knownnames AS known
    INNER JOIN taskmaster_tasks_queuestate AS sign
        ON sign.coordinator = known.coordinator AND sign.queue = ''
    WHERE
        sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
        AND (known.queues IS NULL OR wanted.queue = ANY (known.queues))
)
