-- Purpose: create the tasks of queued runs whose earlier run has ended. `run_ids` and the other
-- arrays have one element for each run.
-- Guard: the run is queued, the schedule has the version of the search, and everything is paused or
-- not as in the search. The row of the schedule serializes the statement with its other runs.
-- Index: primary keys.
-- Called by taskmaster.coordinator.schedules.run_writer.
WITH state AS MATERIALIZED (
    SELECT id
    FROM taskmaster_tasks_schedulerstate
    WHERE id = 1 AND paused_at IS NOT DISTINCT FROM %(halted_at)s::timestamptz
    FOR NO KEY UPDATE
),
given AS MATERIALIZED (
    SELECT *
    FROM
        unnest(
            %(run_ids)s::bigint[],
            %(ids)s::bigint[],
            %(versions)s::bigint[],
            %(refusals)s::text[],
            %(queues)s::text[],
            %(priorities)s::smallint[],
            %(max_attempts)s::integer[],
            %(timeouts_s)s::float8[],
            %(retry_bases_s)s::float8[],
            %(retry_caps_s)s::float8[],
            %(on_lost_contacts)s::text[],
            %(tags)s::text[]
        ) AS given (
            run_id, schedule_id, version, refusal, queue, priority, max_attempts, timeout_s,
            retry_base_s, retry_cap_s, on_lost_contact, tags
        )
),
locked AS MATERIALIZED (
    SELECT given.*, schedule.task, schedule.args, schedule.kwargs, schedule.owner_id
    FROM given
    INNER JOIN taskmaster_tasks_schedule AS schedule ON schedule.id = given.schedule_id
    WHERE EXISTS (SELECT FROM state) AND schedule.version = given.version
    FOR NO KEY UPDATE OF schedule SKIP LOCKED
),
started AS (
    UPDATE taskmaster_tasks_schedulerun AS run
    SET
        state = CASE WHEN locked.refusal = '' THEN 'created' ELSE 'refused' END,
        reason = CASE WHEN locked.refusal = '' THEN run.reason ELSE left(locked.refusal, 500) END,
        task_id = CASE
            WHEN locked.refusal = ''
                THEN nextval(pg_get_serial_sequence('taskmaster_tasks_task', 'id'))
        END
    FROM locked
    WHERE run.id = locked.run_id AND run.state = 'queued'
    RETURNING run.id, run.schedule_id, run.due_at, run.run_at, run.state, run.task_id
),
created AS (
    INSERT INTO taskmaster_tasks_task
        (
            id, name, args, kwargs, queue, priority, scheduled_at, max_attempts, timeout_s,
            retry_base_s, retry_cap_s, on_lost_contact, tags, created_by_id, schedule_id,
            scheduled_for
        )
    SELECT
        started.task_id,
        locked.task,
        locked.args,
        locked.kwargs,
        locked.queue,
        locked.priority,
        now(),
        locked.max_attempts,
        locked.timeout_s,
        locked.retry_base_s,
        locked.retry_cap_s,
        locked.on_lost_contact,
        locked.tags::text[],
        locked.owner_id,
        locked.schedule_id,
        started.due_at
    FROM started
    INNER JOIN locked ON locked.run_id = started.id
    WHERE started.task_id IS NOT NULL
)
SELECT
    started.schedule_id,
    started.due_at,
    started.run_at,
    started.state,
    FALSE,
    started.task_id,
    locked.task,
    locked.queue,
    '{}'::bigint[]
FROM started
INNER JOIN locked ON locked.run_id = started.id
