-- What a task that nobody runs may expect: the seconds until it is due, and of the coordinators that
-- are alive how many there are, what their workers can take of its queue, and whether the one that
-- holds it is among them. Changes nothing. Called by tasks.reasons.
SELECT
    EXTRACT(EPOCH FROM %(scheduled_at)s::timestamptz - clock_timestamp())::float8 AS due_in_s,
    count(*) AS coordinators,
    COALESCE(sum(COALESCE(own.workers, sign.workers)), 0)::int AS workers,
    COALESCE(sum(COALESCE(own.slots, sign.slots)), 0)::int AS slots,
    COALESCE(sum(COALESCE(own.free, sign.free)), 0)::int AS free,
    COALESCE(bool_or(sign.coordinator = %(coordinator)s::uuid), FALSE) AS holder_lives
FROM tasks_queuestate AS sign
LEFT JOIN tasks_queuestate AS own
    ON own.coordinator = sign.coordinator AND own.queue = %(queue)s
WHERE
    sign.queue = ''
    AND sign.at > clock_timestamp() - make_interval(secs => %(silence_s)s)
