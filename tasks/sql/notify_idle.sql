-- Purpose: wake the idle coordinators. It returns a row if there is one. Otherwise it sends no
-- NOTIFY. It must run after the commit of the tasks. Inside the transaction it could miss a
-- coordinator that becomes idle before the commit.
-- Called by taskmaster.tasks.wakeup.
-- Called by taskmaster.coordinator.dispatch.claimer, when tasks are pending again.
-- Called by taskmaster.coordinator.process at exit.
SELECT pg_notify('taskmaster_wake', '')
WHERE EXISTS (SELECT FROM taskmaster_tasks_idlecoordinator)
