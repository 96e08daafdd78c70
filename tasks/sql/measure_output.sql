-- Purpose: measure the stored output of each attempt in bytes, before and after the line with which
-- a worker states how much it has cut. Without that line everything is before it. An attempt that
-- was handed back and started again has one row for each lease.
-- Guard: none; it changes no row.
-- Index: primary key.
-- Called by taskmaster.tasks.queries.output_size.
WITH mark AS (
    SELECT lease, min(seq) AS seq, min(text) AS text
    FROM taskmaster_tasks_taskoutput
    WHERE
        task_id = %(id)s
        AND octet_length(text) < 60
        AND text LIKE E'\n… %% bytes cut …\n'
    GROUP BY lease
)
SELECT
    chunk.attempt,
    sum(octet_length(chunk.text)) FILTER (WHERE mark.seq IS NULL OR chunk.seq < mark.seq) AS head,
    COALESCE(sum(octet_length(chunk.text)) FILTER (WHERE chunk.seq > mark.seq), 0) AS tail,
    COALESCE(mark.text, '') AS mark
FROM taskmaster_tasks_taskoutput AS chunk
LEFT JOIN mark ON mark.lease = chunk.lease
WHERE chunk.task_id = %(id)s
GROUP BY chunk.attempt, chunk.lease, mark.text
ORDER BY chunk.attempt, chunk.lease
