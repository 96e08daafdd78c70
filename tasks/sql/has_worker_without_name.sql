-- Purpose: return whether a live coordinator has a worker that serves the queue and does not know
-- the name. A worker that announced no names knows every name.
-- Guard: none; it changes no row.
-- Called by taskmaster.tasks.queries.pending_reason.
SELECT EXISTS (
    SELECT
    FROM taskmaster_tasks_knownnames AS known
    INNER JOIN taskmaster_tasks_queuestate AS sign
        ON sign.coordinator = known.coordinator AND sign.queue = ''
    WHERE
        sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
        AND (known.queues IS NULL OR %(queue)s = ANY (known.queues))
        AND known.names IS NOT NULL
        AND NOT %(name)s = ANY (known.names)
)
