-- picked -> pending; started -> pending, or failed when its attempts are used up: what a lost worker
-- ran, or, without a worker, whatever a dead coordinator held and no worker announced to another.
-- Guard: in flight and still with that coordinator. Index: idx_tasks_in_flight.
-- Called by the lifeline.
UPDATE tasks_task AS task
SET
    status = CASE
        WHEN task.status = 'started' AND task.attempt >= task.max_attempts THEN 'failed'
        ELSE 'pending'
    END,
    failed_at = CASE
        WHEN task.status = 'started' AND task.attempt >= task.max_attempts THEN now()
    END,
    picked_at = CASE WHEN task.status = 'started' THEN task.picked_at END,
    errors = CASE
        WHEN task.status = 'started' THEN task.errors || jsonb_build_array(jsonb_build_object(
            'attempt', task.attempt,
            'worker', task.worker,
            'at', now(),
            'class', 'lost',
            'message', 'the worker ' || task.worker || ' was lost'
        ))
        ELSE task.errors
    END
WHERE
    task.coordinator = %(coordinator)s
    AND task.status IN ('picked', 'started')
    AND (%(worker_id)s::uuid IS NULL OR task.worker_id = %(worker_id)s)
RETURNING task.id
