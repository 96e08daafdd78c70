-- Purpose: add ended attempts to the writer's statistics of these ten seconds, in the transaction
-- that writes them. Each writer has its own row. Without a `source` the row belongs to the
-- session, which no other transaction can use concurrently.
-- Index: primary key.
-- Called by taskmaster.coordinator.reports.flusher.
-- Called by taskmaster.coordinator.liveness.workers and taskmaster.coordinator.liveness.peers.
-- Called by taskmaster.tasks.task_actions and taskmaster.tasks.bulk.apply.
-- Called by taskmaster.tasks.schedules.withdrawal.
-- Called by taskmaster.coordinator.schedules.run_writer, for tasks that a run replaces.
INSERT INTO taskmaster_tasks_statistic AS sum
    (at, source, complete, failed, cancelled, retried, wait, run)
VALUES
    (
        date_bin('10 seconds', now(), '2000-01-01 00:00:00+00'),
        COALESCE(
            %(source)s::uuid,
            ('00000000-0000-4000-8000-' || lpad(to_hex(pg_backend_pid()), 12, '0'))::uuid
        ),
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
