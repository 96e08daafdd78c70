-- Purpose: delete the runs of these schedules except the newest `kept` of each. A run whose task has
-- not ended stays, and a queued one.
-- Index: taskmaster_runs_newest, primary keys.
-- Called by taskmaster.coordinator.schedules.runner.
DELETE FROM taskmaster_tasks_schedulerun
WHERE
    id = ANY (
        ARRAY(
            SELECT run.id
            FROM unnest(%(ids)s::bigint[]) AS schedule (id)
            CROSS JOIN LATERAL (
                SELECT older.id, older.state, older.task_id
                FROM taskmaster_tasks_schedulerun AS older
                WHERE older.schedule_id = schedule.id
                ORDER BY older.due_at DESC, older.id DESC
                OFFSET %(kept)s
                LIMIT 1000
            ) AS run
            WHERE
                run.state <> 'queued'
                AND NOT EXISTS (
                    SELECT
                    FROM taskmaster_tasks_task AS task
                    WHERE
                        task.id = run.task_id
                        AND task.status || '' IN ('waiting', 'pending', 'picked', 'started')
                )
        )
    )
