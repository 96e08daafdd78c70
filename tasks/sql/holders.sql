-- Lists the coordinators that hold tasks in flight. Steps from one to the next, so that its cost is
-- the number of coordinators, not of tasks. Index: idx_tasks_in_flight.
-- Called by the peers' watch, to find what was left by one that is not online any more.
WITH RECURSIVE holder AS (
    (
        SELECT coordinator
        FROM tasks_task
        WHERE status IN ('picked', 'started')
        ORDER BY coordinator
        LIMIT 1
    )
    UNION ALL
    SELECT next.coordinator
    FROM holder
    CROSS JOIN LATERAL (
        SELECT task.coordinator
        FROM tasks_task AS task
        WHERE
            task.status IN ('picked', 'started')
            AND task.coordinator > holder.coordinator
        ORDER BY task.coordinator
        LIMIT 1
    ) AS next
)
SELECT coordinator
FROM holder
WHERE coordinator IS NOT NULL
