-- What an attempt printed after a cursor: as many chunks as `most` bytes hold, and one more that goes
-- beyond. Of a chunk that was shown in part the rest, `most` characters of it at most.
-- Index: primary key. Changes nothing. Called by the console.
SELECT
    lease,
    seq,
    stream,
    skipped,
    substr(text, skipped + 1, %(most)s) AS piece
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
        FROM tasks_taskoutput
        WHERE
            task_id = %(id)s
            AND attempt = %(attempt)s
            AND (lease, seq) >= (%(lease)s, %(seq)s)
        ORDER BY lease, seq
        LIMIT %(rows)s
    ) AS chunk
) AS measured
WHERE
    before < %(most)s
ORDER BY lease, seq
