-- Purpose: examine the next `batch` tasks after an id, and delete those whose retention time is over,
-- with their output. The run of a schedule keeps the status of its task. `kept_s` is the time for each pair of `queues` and `statuses`, and NULL is for
-- ever. The queue '' holds for all queues that are not listed. The statement returns the last id that
-- it examined, the number of examined and of deleted tasks, the age of the youngest examined task, and
-- the time until the next of the remaining ones may expire (NULL: never). The ages are in seconds.
-- Guard: the task has ended, and did so at least `shortest_s` ago. A task that another transaction has
-- locked is skipped. So a task that is retried concurrently stays.
-- Index: primary key; taskmaster_runs_newest. The history is walked by id, so the tasks need no index on their end.
-- Called by taskmaster.coordinator.pruning.tasks.
WITH examined AS MATERIALIZED (
    SELECT
        task.id,
        task.queue,
        task.status,
        task.created_at,
        COALESCE(task.completed_at, task.failed_at, task.cancelled_at) AS ended_at
    FROM taskmaster_tasks_task AS task
    WHERE
        task.id > %(after)s::bigint
        AND task.id <= %(upper)s::bigint
    ORDER BY task.id
    LIMIT %(batch)s
),
rules AS MATERIALIZED (
    SELECT queue, status, kept_s
    FROM unnest(%(queues)s::text[], %(statuses)s::text[], %(kept_s)s::float8[])
        AS rule (queue, status, kept_s)
),
expiring AS MATERIALIZED (
    SELECT
        examined.id,
        -- A task that has not ended may end now, in any status.
        COALESCE(examined.ended_at, now()) + make_interval(
            secs => (
                SELECT min(rules.kept_s)
                FROM rules
                WHERE
                    rules.queue = CASE
                        WHEN EXISTS (SELECT FROM rules AS own WHERE own.queue = examined.queue)
                            THEN examined.queue
                        ELSE ''
                    END
                    AND (
                        rules.status = examined.status
                        OR examined.status NOT IN ('complete', 'failed', 'cancelled')
                    )
            )
        ) AS expires_at
    FROM examined
),
deleted AS (
    DELETE FROM taskmaster_tasks_task AS task
    WHERE
        task.id = ANY (
            ARRAY(
                SELECT expired.id
                FROM taskmaster_tasks_task AS expired
                WHERE
                    expired.id = ANY (
                        ARRAY(SELECT expiring.id FROM expiring WHERE expiring.expires_at <= now())
                    )
                    AND expired.status || '' IN ('complete', 'failed', 'cancelled')
                ORDER BY expired.id
                FOR UPDATE SKIP LOCKED
            )
        )
        AND task.status || '' IN ('complete', 'failed', 'cancelled')
        AND COALESCE(task.completed_at, task.failed_at, task.cancelled_at)
            <= now() - make_interval(secs => %(shortest_s)s::float8)
    RETURNING task.id, task.status, task.schedule_id, task.scheduled_for
),
printed AS (
    DELETE FROM taskmaster_tasks_taskoutput AS output
    USING deleted
    WHERE output.task_id = deleted.id
),
noted AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET outcome = deleted.status
    FROM deleted
    WHERE
        run.schedule_id = deleted.schedule_id
        AND run.due_at = deleted.scheduled_for
        AND run.task_id = deleted.id
)
SELECT
    (SELECT max(id) FROM examined),
    (SELECT count(*) FROM examined),
    (SELECT count(*) FROM deleted),
    (SELECT EXTRACT(EPOCH FROM now() - max(created_at))::float8 FROM examined),
    (
        SELECT EXTRACT(EPOCH FROM min(expiring.expires_at) - now())::float8
        FROM expiring
        WHERE NOT EXISTS (SELECT FROM deleted WHERE deleted.id = expiring.id)
    )
