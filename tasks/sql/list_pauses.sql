-- Purpose: list what is paused.
-- Guard: none; it changes no row.
-- Called by taskmaster.coordinator.dispatch.pauses.
SELECT kind, target
FROM taskmaster_tasks_pause
