-- Purpose: release the tasks of a queue, of a name, or all tasks, when they are paused.
-- picked -> pending. A release costs no attempt. NULL for `queue` or `name` means every one. Rows
-- that another session has locked are skipped: they are being started or claimed. The coordinators
-- release these as soon as they have read the pause. Until the transaction commits, a coordinator
-- may still offer a task, so no lease counts as unused. The lease stays the same: the start of an
-- offer that a worker accepts afterwards is refused, because the task is not in flight.
-- It steps from coordinator to coordinator, so that its plan uses the index for all statistics.
-- Guard: the task is picked.
-- Index: taskmaster_tasks_in_flight, then the primary key.
-- Called by taskmaster.tasks.policies.pausing.
WITH RECURSIVE holder AS (
    (
        SELECT coordinator
        FROM taskmaster_tasks_task
        WHERE status IN ('picked', 'started') AND coordinator IS NOT NULL
        ORDER BY coordinator
        LIMIT 1
    )
    UNION ALL
    SELECT next.coordinator
    FROM holder
    CROSS JOIN LATERAL (
        SELECT task.coordinator
        FROM taskmaster_tasks_task AS task
        WHERE task.status IN ('picked', 'started') AND task.coordinator > holder.coordinator
        ORDER BY task.coordinator
        LIMIT 1
    ) AS next
),
locked AS MATERIALIZED (
    SELECT held.id
    FROM holder
    CROSS JOIN LATERAL (
        SELECT task.id
        FROM taskmaster_tasks_task AS task
        WHERE
            task.coordinator = holder.coordinator
            AND task.status = 'picked'
            AND (%(queue)s::text IS NULL OR task.queue = %(queue)s)
            AND (%(name)s::text IS NULL OR task.name = %(name)s)
        FOR UPDATE SKIP LOCKED
    ) AS held
)
UPDATE taskmaster_tasks_task AS task
SET
    status = 'pending',
    coordinator = NULL,
    picked_at = NULL
WHERE task.id = ANY (ARRAY(SELECT id FROM locked))
RETURNING task.id, task.name, task.queue
