-- The tasks that somebody looks at. Changes nothing. Called by the announcer.
SELECT task_id
FROM tasks_watch
WHERE until > now()
