-- Purpose: rescue the started tasks of a lost worker. started -> pending after a pause, or failed
-- if the attempts are used up. Without `worker_id`, it rescues the tasks of all workers of a dead
-- coordinator, except tasks that another coordinator has adopted. With `stoppable`, it includes
-- tasks with on_lost_contact = 'stop'. They are spared until their worker has certainly stopped
-- them.
-- Guard: the task is started and still belongs to that coordinator.
-- Index: taskmaster_tasks_in_flight.
-- Called by taskmaster.coordinator.liveness.workers for a lost worker.
-- Called by taskmaster.coordinator.liveness.peers for a dead coordinator.
UPDATE taskmaster_tasks_task AS task
SET
    status = CASE WHEN task.attempt >= task.max_attempts THEN 'failed' ELSE 'pending' END,
    failed_at = CASE WHEN task.attempt >= task.max_attempts THEN now() END,
    scheduled_at = CASE
        WHEN task.attempt >= task.max_attempts THEN task.scheduled_at
        ELSE now() + taskmaster_tasks_pause(task.attempt, task.retry_base_s, task.retry_cap_s)
    END,
    errors = task.errors || jsonb_build_object(
        'attempt', task.attempt,
        'worker', task.worker,
        'due', task.scheduled_at,
        'started', task.started_at,
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
