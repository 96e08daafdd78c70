-- Purpose: return tasks that were parked because of their name to their queues, up to `limit`.
-- waiting -> pending. `queues` and `names` are the pairs that a connected worker knows. The position
-- of a task is new: it is due now, so the low-water marks of claims stay valid.
-- Guard: the task is waiting for that reason.
-- Index: taskmaster_tasks_waiting, then the primary key.
-- Called by taskmaster.coordinator.dispatch.parking.
WITH locked AS MATERIALIZED (
    SELECT parked.id
    FROM unnest(%(queues)s::text[], %(names)s::text[]) AS known (queue, name)
    CROSS JOIN LATERAL (
        SELECT task.id
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'waiting'
            AND task.waiting_reason = 'unknown_name'
            AND task.waiting_for = known.name
            AND task.queue = known.queue
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS parked
    LIMIT %(limit)s
)
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    scheduled_at = now(),
    waiting_reason = '',
    waiting_for = ''
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
    0.0::float8
