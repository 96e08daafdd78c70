-- Purpose: wake the leading coordinator when the transaction commits: a schedule has changed.
-- Called by taskmaster.tasks.schedules.changes.
SELECT pg_notify('taskmaster_schedule', '')
