-- Purpose: return whether a bulk operation is queued or running, here or in another coordinator.
-- Guard: none; it changes no row.
-- Index: taskmaster_operations_active.
-- Called by taskmaster.coordinator.bulk_runner.
SELECT EXISTS (
    SELECT
    FROM taskmaster_tasks_operation
    WHERE state IN ('queued', 'running')
)
