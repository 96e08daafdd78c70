-- Purpose: read the outlook of a task that is not running. It returns the seconds until the task is
-- due, the number of live coordinators, the capacity of their workers for the task's queue, and
-- whether the coordinator that holds the task is live.
-- Guard: none; it changes no row.
-- Called by taskmaster.tasks.queries.pending_reason.
-- Called by taskmaster.tasks.queries.gates for the task's page.
SELECT
    EXTRACT(EPOCH FROM %(scheduled_at)s::timestamptz - clock_timestamp())::float8 AS due_in_s,
    count(*) AS coordinators,
    COALESCE(sum(COALESCE(own.workers, sign.workers)), 0)::int AS workers,
    COALESCE(sum(COALESCE(own.slots, sign.slots)), 0)::int AS slots,
    COALESCE(sum(COALESCE(own.free, sign.free)), 0)::int AS free,
    COALESCE(bool_or(sign.coordinator = %(coordinator)s::uuid), FALSE) AS holder_lives
FROM taskmaster_tasks_queuestate AS sign
LEFT JOIN taskmaster_tasks_queuestate AS own
    ON own.coordinator = sign.coordinator AND own.queue = %(queue)s
WHERE
    sign.queue = ''
    AND sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
