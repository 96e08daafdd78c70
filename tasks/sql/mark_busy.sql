-- Purpose: mark a coordinator busy, or remove it at its end. Submissions no longer need to wake it.
-- Called by taskmaster.coordinator.dispatch.claimer under load.
-- Called by taskmaster.coordinator.liveness.peers for a dead coordinator.
-- Called by taskmaster.coordinator.process at exit.
DELETE FROM taskmaster_tasks_idlecoordinator
WHERE coordinator = %(coordinator)s
