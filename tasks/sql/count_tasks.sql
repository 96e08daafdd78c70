-- Purpose: count the tasks by status now, pending and parked ones up to `at_most`, because the last
-- count is outdated. All numbers are of one snapshot.
-- Guard: none; it changes no row.
-- Index: idx_tasks_scheduled_at, taskmaster_tasks_in_flight, taskmaster_tasks_waiting.
-- Called by taskmaster.tasks.statistics.read.
SELECT
    pending.number,
    due.number,
    due.oldest,
    in_flight.held,
    in_flight.running,
    parked.number,
    ended.complete,
    ended.failed,
    ended.cancelled
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT
        FROM taskmaster_tasks_task
        WHERE status = 'pending'
        LIMIT %(at_most)s
    ) AS found
) AS pending
CROSS JOIN (
    SELECT
        count(*) AS number,
        min(found.scheduled_at) AS oldest
    FROM (
        SELECT scheduled_at
        FROM taskmaster_tasks_task
        WHERE
            status = 'pending'
            AND scheduled_at <= now()
        LIMIT %(at_most)s
    ) AS found
) AS due
CROSS JOIN (
    SELECT
        count(*) FILTER (WHERE status = 'picked') AS held,
        count(*) FILTER (WHERE status = 'started') AS running
    FROM taskmaster_tasks_task
    WHERE status IN ('picked', 'started')
) AS in_flight
CROSS JOIN (
    SELECT count(*) AS number
    FROM (
        SELECT
        FROM taskmaster_tasks_task
        WHERE status = 'waiting'
        LIMIT %(at_most)s
    ) AS found
) AS parked
CROSS JOIN (
    SELECT
        COALESCE(sum(complete), 0)::bigint AS complete,
        COALESCE(sum(failed), 0)::bigint AS failed,
        COALESCE(sum(cancelled), 0)::bigint AS cancelled
    FROM taskmaster_tasks_statistic
) AS ended
