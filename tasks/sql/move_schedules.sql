-- Purpose: store the next due times of many schedules under a new version.
-- Guard: the caller has locked the schedules.
-- Index: primary key.
-- Called by taskmaster.tasks.schedules.pausing_all.
UPDATE taskmaster_tasks_schedule AS schedule
SET
    next_due_at = moved.next_due_at,
    next_run_at = moved.next_run_at,
    ended_at = moved.ended_at,
    ended_reason = moved.ended_reason,
    version = schedule.version + 1,
    changed_at = %(changed_at)s::timestamptz
FROM
    unnest(
        %(ids)s::bigint[],
        %(next_due_ats)s::timestamptz[],
        %(next_run_ats)s::timestamptz[],
        %(ended_ats)s::timestamptz[],
        %(ended_reasons)s::text[]
    ) AS moved (id, next_due_at, next_run_at, ended_at, ended_reason)
WHERE schedule.id = moved.id
