-- Purpose: list the coordinators that have tasks in flight. It steps from one coordinator to the
-- next, so its cost depends on the number of coordinators, not of tasks.
-- Guard: none; it changes no row.
-- Index: taskmaster_tasks_in_flight.
-- Called by taskmaster.coordinator.liveness.peers, to find tasks of coordinators that are offline.
WITH RECURSIVE holder AS (
    (
        SELECT coordinator
        FROM taskmaster_tasks_task
        WHERE status IN ('picked', 'started')
        ORDER BY coordinator
        LIMIT 1
    )
    UNION ALL
    SELECT next.coordinator
    FROM holder
    CROSS JOIN LATERAL (
        SELECT task.coordinator
        FROM taskmaster_tasks_task AS task
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
