-- Purpose: list the (queue, priority) pairs that have pending tasks, each with the time and the
-- seconds until its first task is due. It steps from pair to pair, so its cost depends on the
-- number of pairs, not of tasks.
-- Guard: none; it changes no row.
-- Index: idx_tasks_scheduled_at.
-- Called by taskmaster.coordinator.dispatch.claimer, at most 6 times a minute while idle.
-- Called by taskmaster.tasks.queries.choices.
WITH RECURSIVE pair AS (
    (
        SELECT queue, priority, scheduled_at
        FROM taskmaster_tasks_task
        WHERE status = 'pending'
        ORDER BY queue, priority, scheduled_at
        LIMIT 1
    )
    UNION ALL
    SELECT next.queue, next.priority, next.scheduled_at
    FROM pair
    CROSS JOIN LATERAL (
        SELECT task.queue, task.priority, task.scheduled_at
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND (task.queue, task.priority) > (pair.queue, pair.priority)
        ORDER BY task.queue, task.priority, task.scheduled_at
        LIMIT 1
    ) AS next
)
SELECT
    queue,
    priority,
    scheduled_at,
    EXTRACT(EPOCH FROM scheduled_at - now())::float8 AS due_in_s
FROM pair
