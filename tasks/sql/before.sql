-- How many tasks of its queue are due and claimed before this one, `most` at most. Steps from priority
-- to priority, since a range over all of them would walk over every future task.
-- Index: idx_tasks_scheduled_at. Changes nothing. Called by tasks.reasons.
WITH RECURSIVE rank AS (
    (
        SELECT priority
        FROM tasks_task
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
        FROM tasks_task AS task
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
        FROM tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = %(queue)s
            AND task.priority = rank.priority
            AND (task.scheduled_at, task.id) < (
                CASE WHEN rank.priority > %(priority)s THEN now() ELSE %(scheduled_at)s END,
                CASE WHEN rank.priority > %(priority)s THEN 9223372036854775807 ELSE %(id)s END
            )
        LIMIT %(most)s
    ) AS due
    LIMIT %(most)s
) AS before
