-- Purpose: store events and notify the web processes.
-- Guard: an advisory lock until the commit serializes publishers. Ids therefore rise in the order
-- of commits, and a reader that has seen an id has seen all lower ids.
-- Called by taskmaster.tasks.events.publish, at most ten times a second in a process.
-- Called by taskmaster.coordinator.events.publisher, at most ten times a second in a process.
WITH lock AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(%(lock_key)s)
),
stored AS (
    INSERT INTO taskmaster_tasks_event
        (kind, text, task_id, task, queue, worker, worker_id, "user", count)
    SELECT
        event.kind,
        event.text,
        event.task_id,
        event.task,
        event.queue,
        event.worker,
        event.worker_id,
        event.by,
        event.count
    FROM
        lock,
        unnest(
            %(kinds)s::text[],
            %(texts)s::text[],
            %(task_ids)s::bigint[],
            %(tasks)s::text[],
            %(queues)s::text[],
            %(workers)s::text[],
            %(worker_ids)s::uuid[],
            %(users)s::text[],
            %(counts)s::int[]
        ) WITH ORDINALITY
            AS event (kind, text, task_id, task, queue, worker, worker_id, by, count, place)
    ORDER BY event.place
    RETURNING id
)
SELECT
    max(id),
    pg_notify('taskmaster_event', max(id)::text)
FROM stored
