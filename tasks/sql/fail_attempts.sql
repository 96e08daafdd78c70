-- Purpose: write attempts that raised, were killed or timed out. picked, started -> pending while
-- attempts are left, else failed. The task is due again after the pause of its retry policy, or
-- after `pause_s` if the task requested one. The times of the error come from the database's clock:
-- when the attempt was due, started and ended. Later attempts overwrite the columns of the task. A
-- start that is already recorded stays: a report of a lost attempt does not know it.
-- Guard: as in start_attempts.sql.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.reports.flusher.
UPDATE taskmaster_tasks_task AS task
SET
    status = CASE
        WHEN report.final OR report.attempt >= task.max_attempts THEN 'failed'
        ELSE 'pending'
    END,
    attempt = report.attempt,
    started_at = LEAST(
        CASE WHEN task.status = 'started' THEN task.started_at END,
        now() - make_interval(secs => report.started_age_s)
    ),
    failed_at = CASE
        WHEN report.final OR report.attempt >= task.max_attempts
            THEN now() - make_interval(secs => report.finished_age_s)
    END,
    scheduled_at = CASE
        WHEN report.final OR report.attempt >= task.max_attempts THEN task.scheduled_at
        ELSE now() + COALESCE(
            make_interval(secs => report.pause_s),
            taskmaster_tasks_pause(report.attempt, task.retry_base_s, task.retry_cap_s)
        )
    END,
    worker = report.worker,
    worker_id = report.worker_id,
    errors = task.errors || (
        report.error::jsonb || jsonb_build_object(
            'due', task.scheduled_at,
            'started', LEAST(
                CASE WHEN task.status = 'started' THEN task.started_at END,
                now() - make_interval(secs => report.started_age_s)
            ),
            'at', now() - make_interval(secs => report.finished_age_s)
        )
    )
FROM
    unnest(
        %(ids)s::bigint[],
        %(leases)s::bigint[],
        %(attempts)s::int[],
        %(started_ages_s)s::float8[],
        %(finished_ages_s)s::float8[],
        %(workers)s::text[],
        %(worker_ids)s::uuid[],
        %(errors)s::text[],
        %(finals)s::bool[],
        %(pauses_s)s::float8[]
    ) AS report (
        id, lease, attempt, started_age_s, finished_age_s, worker, worker_id, error, final, pause_s
    )
WHERE
    task.id = report.id
    AND task.lease = report.lease
    AND report.lease - report.lease = 0
    AND task.status || '' IN ('picked', 'started')
    AND COALESCE(task.worker_id, report.worker_id) = report.worker_id
RETURNING
    task.id,
    task.name,
    task.queue,
    task.status,
    task.attempt,
    task.max_attempts,
    task.worker,
    task.worker_id,
    EXTRACT(EPOCH FROM task.scheduled_at - now())::float8
