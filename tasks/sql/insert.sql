-- Stores one task in the caller's transaction. Called by tasks.enqueue.
INSERT INTO tasks_task
    (name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s, tags, created_by_id)
VALUES
    (
        %(name)s,
        %(args)s::jsonb,
        %(kwargs)s::jsonb,
        %(queue)s,
        %(priority)s,
        COALESCE(%(scheduled_at)s::timestamptz, now()),
        %(max_attempts)s,
        %(timeout_s)s,
        %(tags)s::text[],
        %(created_by_id)s
    )
RETURNING id
