-- started -> pending after a pause, or failed when the attempts are used up: what a lost worker ran
-- for a coordinator or, without a worker, whatever a dead coordinator's workers ran and announced to
-- no other. `stoppable`: also tasks that are stopped when their worker loses contact; they are
-- spared until it is sure that the worker has done so.
-- Guard: started and still with that coordinator. Index: idx_tasks_in_flight.
-- Called by the lifeline and by the peers' watch.
UPDATE tasks_task AS task
SET
    status = CASE WHEN task.attempt >= task.max_attempts THEN 'failed' ELSE 'pending' END,
    failed_at = CASE WHEN task.attempt >= task.max_attempts THEN now() END,
    scheduled_at = CASE
        WHEN task.attempt >= task.max_attempts THEN task.scheduled_at
        ELSE now() + tasks_pause(task.attempt, task.retry_base_s, task.retry_cap_s)
    END,
    errors = task.errors || jsonb_build_object(
        'attempt', task.attempt,
        'worker', task.worker,
        'at', now(),
        'class', 'lost',
        'message', 'the worker ' || task.worker || ' was lost'
    )
WHERE
    task.coordinator = %(coordinator)s
    AND task.status = 'started'
    AND (%(worker_id)s::uuid IS NULL OR task.worker_id = %(worker_id)s)
    AND (%(stoppable)s OR task.on_lost_contact <> 'stop')
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
