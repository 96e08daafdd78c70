-- Purpose: mark a coordinator idle. After the commit, submitters wake it. The coordinator must look
-- for work again after this commit and before it waits.
-- Called by taskmaster.coordinator.dispatch.claimer.
INSERT INTO taskmaster_tasks_idlecoordinator (coordinator)
VALUES (%(coordinator)s)
ON CONFLICT DO NOTHING
