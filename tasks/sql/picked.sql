-- What a coordinator has claimed and no worker has accepted. Changes nothing.
-- Index: idx_tasks_in_flight. Called after database trouble, for claims whose answer was lost.
SELECT id, lease
FROM tasks_task
WHERE
    coordinator = %(coordinator)s
    AND status = 'picked'
