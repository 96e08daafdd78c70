-- Purpose: return the subset of pairs of queue and name for which a live coordinator has a worker
-- that serves the queue and knows the name. A worker that announced no names knows every name.
-- Guard: none; it changes no row.
-- Called by taskmaster.coordinator.dispatch.parking.
-- Called by taskmaster.tasks.queries.pending_reason.
SELECT wanted.queue, wanted.name
FROM unnest(%(queues)s::text[], %(names)s::text[]) AS wanted (queue, name)
WHERE EXISTS (
    SELECT
    FROM taskmaster_tasks_knownnames AS known
    INNER JOIN taskmaster_tasks_queuestate AS sign
        ON sign.coordinator = known.coordinator AND sign.queue = ''
    WHERE
        sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
        AND (known.queues IS NULL OR wanted.queue = ANY (known.queues))
        AND (known.names IS NULL OR wanted.name = ANY (known.names))
)
