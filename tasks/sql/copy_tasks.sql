-- Purpose: store many tasks in the caller's transaction.
-- Called by taskmaster.tasks.enqueue.
COPY taskmaster_tasks_task
    (
        id, name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s, retry_base_s,
        retry_cap_s, on_lost_contact, tags, created_by_id
    )
FROM STDIN
