-- Purpose: store one task in the caller's transaction. A time in the past, or none, is due now. The
-- statement is prepared by the server. Its parameters are positional.
-- Called by taskmaster.tasks.backend for a declared task.
-- Called by taskmaster.tasks.enqueue for any other submission.
INSERT INTO taskmaster_tasks_task
    (
        name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s, retry_base_s,
        retry_cap_s, on_lost_contact, tags, created_by_id
    )
VALUES
    (
        %s, %s::json, %s::json, %s, %s, GREATEST(%s::timestamptz, now()), %s, %s, %s, %s, %s,
        %s::text[], %s
    )
RETURNING id
