-- Purpose: list the pairs of queue and name of the tasks that are parked because of their name. It
-- steps from pair to pair, so its cost depends on the number of pairs, not of tasks.
-- Guard: none; it changes no row.
-- Index: taskmaster_tasks_waiting.
-- Called by taskmaster.coordinator.dispatch.parking.
WITH RECURSIVE pair AS (
    (
        SELECT waiting_for, queue
        FROM taskmaster_tasks_task
        WHERE
            status = 'waiting'
            AND waiting_reason = 'unknown_name'
        ORDER BY waiting_for, queue
        LIMIT 1
    )
    UNION ALL
    SELECT next.waiting_for, next.queue
    FROM pair
    CROSS JOIN LATERAL (
        SELECT task.waiting_for, task.queue
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'waiting'
            AND task.waiting_reason = 'unknown_name'
            AND (task.waiting_for, task.queue) > (pair.waiting_for, pair.queue)
        ORDER BY task.waiting_for, task.queue
        LIMIT 1
    ) AS next
)
SELECT queue, waiting_for
FROM pair
