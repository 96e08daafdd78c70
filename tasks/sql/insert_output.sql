-- Purpose: store output of attempts. A chunk that is sent twice is stored once. The result is the
-- sizes of the stored chunks in bytes.
-- Guard: the lease, live or ended, and the task has no other worker.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.reports.flusher, before it writes the end of the attempt.
INSERT INTO taskmaster_tasks_taskoutput (task_id, lease, attempt, seq, stream, text)
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
INNER JOIN taskmaster_tasks_task AS task ON task.id = chunk.task_id AND task.lease = chunk.lease
WHERE
    chunk.lease - chunk.lease = 0
    AND COALESCE(task.worker_id, chunk.worker_id) = chunk.worker_id
ON CONFLICT (task_id, lease, seq) DO NOTHING
RETURNING task_id, lease, octet_length(text)
