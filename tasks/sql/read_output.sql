-- Purpose: read the output of an attempt after a cursor. It returns chunks up to `max_bytes` bytes, and
-- the chunk that exceeds them. `piece` is at most `max_bytes` characters long. It omits the characters
-- before `offset` in the chunk at the cursor.
-- Guard: none; it changes no row.
-- Index: primary key.
-- Called by taskmaster.taskmaster_site.console.snapshot.
SELECT
    lease,
    seq,
    stream,
    skipped,
    substr(text, skipped + 1, %(max_bytes)s) AS piece
FROM (
    SELECT
        lease,
        seq,
        stream,
        text,
        CASE WHEN (lease, seq) = (%(lease)s, %(seq)s) THEN %(offset)s ELSE 0 END AS skipped,
        COALESCE(
            sum(CASE WHEN (lease, seq) = (%(lease)s, %(seq)s) THEN 0 ELSE octet_length(text) END)
                OVER (ORDER BY lease, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            0
        ) AS before
    FROM (
        SELECT
            lease,
            seq,
            stream,
            text
        FROM taskmaster_tasks_taskoutput
        WHERE
            task_id = %(id)s
            AND attempt = %(attempt)s
            AND (lease, seq) >= (%(lease)s, %(seq)s)
        ORDER BY lease, seq
        LIMIT %(max_rows)s
    ) AS chunk
) AS measured
WHERE
    before < %(max_bytes)s
ORDER BY lease, seq
