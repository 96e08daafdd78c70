-- Purpose: store a manual or back-filled run for each due time, with its task, which is due now.
-- There is no task without its run, since one statement stores both.
-- Guard: the caller holds a lock of the schedule, so that it is not deleted.
-- Called by taskmaster.tasks.schedules.manual_runs for one run.
-- Called by taskmaster.tasks.bulk.backfill for a chunk.
WITH task AS (
    INSERT INTO taskmaster_tasks_task
        (
            name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s,
            retry_base_s, retry_cap_s, on_lost_contact, tags, created_by_id, schedule_id,
            scheduled_for
        )
    SELECT
        %(name)s,
        %(args)s::json,
        %(kwargs)s::json,
        %(queue)s,
        %(priority)s,
        now(),
        %(max_attempts)s,
        %(timeout_s)s,
        %(retry_base_s)s,
        %(retry_cap_s)s,
        %(on_lost_contact)s,
        %(tags)s::text[],
        %(created_by_id)s,
        %(schedule_id)s,
        due.at
    FROM unnest(%(due_times)s::timestamptz[]) WITH ORDINALITY AS due (at, position)
    ORDER BY due.position
    RETURNING id, scheduled_for
)
INSERT INTO taskmaster_tasks_schedulerun
    (schedule_id, kind, due_at, run_at, state, task_id, "user")
SELECT %(schedule_id)s, %(kind)s, scheduled_for, now(), 'created', id, %(user)s
FROM task
ORDER BY id
RETURNING id, task_id
