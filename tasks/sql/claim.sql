-- pending -> picked: claims up to `room` tasks for a coordinator, highest priority first, then the
-- longest due, and raises their lease. They are no worker's from here on until one starts them. Locks no more than it claims: `share` counts, without a lock,
-- how many of the best belong to each (queue, priority); the lock then takes as many of each,
-- stepping over what another coordinator is claiming.
-- `since` is each pair's low-water mark: dead entries before it are stepped over.
-- Guard: status = 'pending'. Index: idx_tasks_scheduled_at, then the primary key.
-- Called by the claimer, for what is due and for the look-ahead.
WITH pair AS MATERIALIZED (
    SELECT queue, priority, since
    FROM
        unnest(%(queues)s::text[], %(priorities)s::smallint[], %(sinces)s::timestamptz[])
            AS pair (queue, priority, since)
),
candidate AS MATERIALIZED (
    SELECT pair.queue, pair.priority, pair.since
    FROM pair
    CROSS JOIN LATERAL (
        SELECT task.scheduled_at
        FROM tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = pair.queue
            AND task.priority = pair.priority
            AND task.scheduled_at >= pair.since
            AND task.scheduled_at <= now() + make_interval(secs => %(within_s)s)
        ORDER BY task.scheduled_at
        LIMIT %(room)s
    ) AS due
    ORDER BY pair.priority DESC, due.scheduled_at
    LIMIT %(room)s
),
share AS MATERIALIZED (
    SELECT queue, priority, since, count(*) AS room
    FROM candidate
    GROUP BY queue, priority, since
),
locked AS MATERIALIZED (
    SELECT due.id
    FROM share
    CROSS JOIN LATERAL (
        SELECT task.id
        FROM tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = share.queue
            AND task.priority = share.priority
            AND task.scheduled_at >= share.since
            AND task.scheduled_at <= now() + make_interval(secs => %(within_s)s)
        ORDER BY task.scheduled_at
        LIMIT share.room
        FOR UPDATE SKIP LOCKED
    ) AS due
)
UPDATE tasks_task AS task
SET
    status = 'picked',
    lease = task.lease + 1,
    coordinator = %(coordinator)s,
    picked_at = now(),
    worker_id = NULL
-- An array, not a join: whatever number of rows is expected, the primary key serves.
WHERE task.id = ANY (ARRAY(SELECT id FROM locked))
RETURNING
    task.id,
    task.lease,
    task.attempt,
    task.max_attempts,
    task.name,
    task.args::text,
    task.kwargs::text,
    task.queue,
    task.priority,
    task.timeout_s,
    task.scheduled_at,
    EXTRACT(EPOCH FROM task.scheduled_at - clock_timestamp())::float8,
    task.created_at,
    task.on_lost_contact
