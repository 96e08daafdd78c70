-- A coordinator looks for work by itself from now on, so submissions need no NOTIFY; or it is gone.
-- Called by the claimer under load, and by the lifeline for a dead coordinator.
DELETE FROM tasks_sleeper
WHERE coordinator = %(coordinator)s
