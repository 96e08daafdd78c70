-- Adds what has ended to the writer's statistics of these ten seconds, in the transaction that writes
-- the ends. Index: primary key. Called by the flusher, and by operations, each with a source of its own.
INSERT INTO tasks_statistic AS sum
    (at, source, complete, failed, cancelled, retried, wait, run)
VALUES
    (
        date_bin('10 seconds', now(), '2000-01-01 00:00:00+00'),
        %(source)s,
        %(complete)s,
        %(failed)s,
        %(cancelled)s,
        %(retried)s,
        %(wait)s::int[],
        %(run)s::int[]
    )
ON CONFLICT (at, source) DO UPDATE SET
    complete = sum.complete + EXCLUDED.complete,
    failed = sum.failed + EXCLUDED.failed,
    cancelled = sum.cancelled + EXCLUDED.cancelled,
    retried = sum.retried + EXCLUDED.retried,
    wait = ARRAY(
        SELECT COALESCE(x.a, 0) + COALESCE(x.b, 0)
        FROM unnest(sum.wait, EXCLUDED.wait) WITH ORDINALITY AS x (a, b, place)
        ORDER BY x.place
    ),
    run = ARRAY(
        SELECT COALESCE(x.a, 0) + COALESCE(x.b, 0)
        FROM unnest(sum.run, EXCLUDED.run) WITH ORDINALITY AS x (a, b, place)
        ORDER BY x.place
    )
