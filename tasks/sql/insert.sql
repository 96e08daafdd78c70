-- Stores one task in the caller's transaction; prepared, so its parameters have places, no names.
-- Called by tasks.enqueue.
INSERT INTO tasks_task
    (
        name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s, retry_base_s,
        retry_cap_s, on_lost_contact, tags, created_by_id
    )
VALUES
    (
        %s, %s::jsonb, %s::jsonb, %s, %s, COALESCE(%s::timestamptz, now()), %s, %s, %s, %s, %s,
        %s::text[], %s
    )
RETURNING id
