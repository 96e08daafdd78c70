-- Purpose: list the task names that the workers of live coordinators have announced.
-- Guard: none; it changes no row.
-- Called by taskmaster.tasks.fleet.
-- Called by taskmaster.tasks.queries.pending_reason.
SELECT DISTINCT name
FROM taskmaster_tasks_knownnames AS known
INNER JOIN taskmaster_tasks_queuestate AS sign
    ON sign.coordinator = known.coordinator AND sign.queue = ''
CROSS JOIN unnest(known.names) AS name
WHERE sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
