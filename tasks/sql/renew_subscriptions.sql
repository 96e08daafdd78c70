-- Purpose: register the tasks that a web process displays, for one minute, and notify the
-- coordinators. It also deletes expired rows and rows of tasks that this process no longer
-- displays.
-- Index: primary key.
-- Called by taskmaster.taskmaster_site.live.subscriptions.
WITH renewed AS (
    INSERT INTO taskmaster_tasks_tasksubscription (task_id, web, until)
    SELECT
        id,
        %(web)s,
        now() + interval '1 minute'
    FROM unnest(%(ids)s::bigint[]) AS id
    ON CONFLICT (task_id, web) DO UPDATE SET until = EXCLUDED.until
    RETURNING task_id
),
deleted AS (
    DELETE FROM taskmaster_tasks_tasksubscription
    WHERE
        until < now()
        OR (web = %(web)s AND task_id <> ALL (%(ids)s::bigint[]))
)
SELECT pg_notify('taskmaster_watch', '')
FROM (SELECT count(*) FROM renewed) AS done
