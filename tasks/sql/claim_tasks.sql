-- Purpose: claim up to `limit` tasks for a coordinator. pending -> picked, with a new lease. The
-- order is the highest priority, then the earliest `scheduled_at`. `worker_id` is NULL until a worker
-- starts the task; `worker` keeps the name of the last one. The statement locks only the rows that
-- it claims. `candidate` and `share` count without locks how many of the best tasks belong to each
-- (queue, priority). `locked` then locks that number of each pair and skips the rows that other
-- coordinators are claiming. `low_mark` is the low-water mark of each pair: no pending task of the
-- pair is due before it. It keeps the scan from reading dead index entries. `skipped` lists, as the
-- text of an array, the names of each pair that are left to other workers.
-- Guard: status = 'pending'.
-- Index: idx_tasks_scheduled_at, then the primary key.
-- Called by taskmaster.coordinator.dispatch.claimer, for due tasks and for the look-ahead.
WITH pair AS MATERIALIZED (
    SELECT queue, priority, low_mark, skipped::text[] AS skipped
    FROM
        unnest(
            %(queues)s::text[],
            %(priorities)s::smallint[],
            %(low_marks)s::timestamptz[],
            %(skipped)s::text[]
        ) AS pair (queue, priority, low_mark, skipped)
),
candidate AS MATERIALIZED (
    SELECT pair.queue, pair.priority, pair.low_mark, pair.skipped
    FROM pair
    CROSS JOIN LATERAL (
        SELECT task.scheduled_at
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = pair.queue
            AND task.priority = pair.priority
            AND task.scheduled_at >= pair.low_mark
            AND task.scheduled_at <= now() + make_interval(secs => %(within_s)s)
            AND task.name <> ALL (pair.skipped)
        ORDER BY task.scheduled_at
        LIMIT %(limit)s
    ) AS due
    ORDER BY pair.priority DESC, due.scheduled_at
    LIMIT %(limit)s
),
share AS MATERIALIZED (
    SELECT queue, priority, low_mark, skipped, count(*) AS quota
    FROM candidate
    GROUP BY queue, priority, low_mark, skipped
),
locked AS MATERIALIZED (
    SELECT due.id
    FROM share
    CROSS JOIN LATERAL (
        SELECT task.id
        FROM taskmaster_tasks_task AS task
        WHERE
            task.status = 'pending'
            AND task.queue = share.queue
            AND task.priority = share.priority
            AND task.scheduled_at >= share.low_mark
            AND task.scheduled_at <= now() + make_interval(secs => %(within_s)s)
            AND task.name <> ALL (share.skipped)
        ORDER BY task.scheduled_at
        LIMIT share.quota
        FOR UPDATE SKIP LOCKED
    ) AS due
)
UPDATE taskmaster_tasks_task AS task
SET
    status = 'picked',
    lease = task.lease + 1,
    coordinator = %(coordinator)s,
    picked_at = now(),
    worker_id = NULL
-- With an array instead of a join, the plan uses the primary key for any estimated number of rows.
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
    task.on_lost_contact,
    task.unused_leases,
    task.scheduled_for
