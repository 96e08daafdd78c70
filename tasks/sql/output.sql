-- Keeps what an attempt printed, while its lease lives or once it has ended under that lease; sent
-- again it changes nothing. Index as in start.sql. Called by the flusher, before the attempt's end.
INSERT INTO tasks_taskoutput (task_id, lease, attempt, seq, stream, text)
SELECT
    chunk.task_id,
    chunk.lease,
    chunk.attempt,
    chunk.seq,
    chunk.stream,
    chunk.text
FROM
    unnest(
        %(ids)s::bigint[],
        %(leases)s::bigint[],
        %(attempts)s::int[],
        %(seqs)s::int[],
        %(streams)s::text[],
        %(texts)s::text[],
        %(worker_ids)s::uuid[]
    ) AS chunk (task_id, lease, attempt, seq, stream, text, worker_id)
INNER JOIN tasks_task AS task ON task.id = chunk.task_id AND task.lease = chunk.lease
WHERE
    chunk.lease - chunk.lease = 0
    AND COALESCE(task.worker_id, chunk.worker_id) = chunk.worker_id
ON CONFLICT (task_id, lease, seq) DO NOTHING
