-- Stores events and tells the web processes. Publishers take turns (an advisory lock until the
-- commit), so that ids rise in the order of commits: who has read up to one has missed none before.
-- Called by tasks.events, at most ten times a second in a process.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(%(turn)s)
),
stored AS (
    INSERT INTO tasks_event
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
        turn,
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
