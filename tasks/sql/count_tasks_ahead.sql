-- Purpose: count the due tasks of a queue that are claimed before a given task, up to `limit`. It
-- steps from priority to priority. A range scan over all priorities would read every future task.
-- Guard: none; it changes no row.
-- Index: idx_tasks_scheduled_at.
-- Called by taskmaster.tasks.queries.pending_reason.
WITH RECURSIVE rank AS (
    (
        SELECT priority
        FROM taskmaster_tasks_task
        WHERE
            status = 'pending'
            AND queue = %(queue)s
            AND priority >= %(priority)s
        ORDER BY priority
        LIMIT 1
    )
    UNION ALL
    SELECT next.priority
    FROM rank
    CROSS JOIN LATERAL (
        SELECT task.priority
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = %(queue)s
            AND task.priority > rank.priority
        ORDER BY task.priority
        LIMIT 1
    ) AS next
)
SELECT count(*)
FROM (
    SELECT
    FROM rank
    CROSS JOIN LATERAL (
        SELECT
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = %(queue)s
            AND task.priority = rank.priority
            AND (task.scheduled_at, task.id) < (
                CASE WHEN rank.priority > %(priority)s THEN now() ELSE %(scheduled_at)s END,
                CASE WHEN rank.priority > %(priority)s THEN 9223372036854775807 ELSE %(id)s END
            )
        LIMIT %(limit)s
    ) AS due
    LIMIT %(limit)s
) AS before
