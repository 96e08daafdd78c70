-- Purpose: reschedule tasks. waiting, pending, picked -> pending with another `scheduled_at`. A time
-- in the past is due now. A coordinator may hold the task; its lease is then invalid, and it finds
-- that before it offers the task. A task that was parked is parked again if it still cannot run.
-- Guard: the task is waiting, pending or picked.
-- Index: primary key.
-- Called by taskmaster.tasks.task_actions for one task.
-- Called by taskmaster.tasks.bulk.apply for many tasks.
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    scheduled_at = GREATEST(%(scheduled_at)s::timestamptz, now()),
    lease = task.lease + 1,
    unused_leases = task.unused_leases + 1,
    coordinator = NULL,
    picked_at = NULL,
    waiting_reason = '',
    waiting_for = ''
WHERE
    task.id = ANY(%(ids)s::bigint[])
    AND task.status || '' IN ('waiting', 'pending', 'picked')
RETURNING task.id, task.name, task.queue
