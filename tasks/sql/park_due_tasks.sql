-- Purpose: park due tasks whose name no connected worker knows, up to `limit`. pending -> waiting.
-- A claim has found tasks of the same queue, priority and name. Tasks behind them would otherwise
-- fill the following claims. `low_marks` holds the earliest `scheduled_at` of each.
-- Guard: the task is pending and due.
-- Index: idx_tasks_scheduled_at, then the primary key.
-- Called by taskmaster.coordinator.dispatch.parking.
WITH locked AS MATERIALIZED (
    SELECT due.id
    FROM
        unnest(
            %(queues)s::text[],
            %(priorities)s::smallint[],
            %(names)s::text[],
            %(low_marks)s::timestamptz[]
        ) AS unknown (queue, priority, name, low_mark)
    CROSS JOIN LATERAL (
        SELECT task.id
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = unknown.queue
            AND task.priority = unknown.priority
            AND task.scheduled_at >= unknown.low_mark
            AND task.scheduled_at <= now()
            AND task.name = unknown.name
        ORDER BY task.scheduled_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS due
    LIMIT %(limit)s
)
UPDATE taskmaster_tasks_task AS task
SET
    status = 'waiting',
    waiting_reason = 'unknown_name',
    waiting_for = task.name
WHERE task.id = ANY (ARRAY(SELECT id FROM locked))
RETURNING
    task.id,
    task.name,
    task.queue,
    task.status,
    task.attempt,
    task.max_attempts,
    task.worker,
    task.worker_id,
    EXTRACT(EPOCH FROM task.scheduled_at - now())::float8
