-- A web process shows these tasks for the next minute; the coordinators are told. Called by the web's watch.
WITH renewed AS (
    INSERT INTO tasks_watch (task_id, web, until)
    SELECT
        id,
        %(web)s,
        now() + interval '1 minute'
    FROM unnest(%(ids)s::bigint[]) AS id
    ON CONFLICT (task_id, web) DO UPDATE SET until = EXCLUDED.until
    RETURNING task_id
),
gone AS (
    DELETE FROM tasks_watch
    WHERE
        until < now()
        OR (web = %(web)s AND task_id <> ALL (%(ids)s::bigint[]))
)
SELECT pg_notify('taskmaster_watch', '')
FROM (SELECT count(*) FROM renewed) AS done
