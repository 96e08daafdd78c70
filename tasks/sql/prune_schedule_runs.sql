-- Purpose: delete the runs of these schedules except the newest `kept` of each, at most 1000 older
-- ones of each.
-- Guard: the run is not queued, and its task has ended.
-- Index: taskmaster_runs_newest, primary keys.
-- Called by taskmaster.coordinator.schedules.run_writer.
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
                -- A subquery runs for each row. The planner could join NOT EXISTS with all tasks.
                AND COALESCE(
                    (
                        SELECT task.status
                        FROM taskmaster_tasks_task AS task
                        WHERE task.id = run.task_id
                    ),
                    ''
                ) NOT IN ('waiting', 'pending', 'picked', 'started')
        )
    )
