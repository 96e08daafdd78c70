-- Purpose: return the time of the database, whose clock decides which due times have passed. It is
-- the time of this statement, since the transaction may have waited for a lock.
-- Called by taskmaster.tasks.schedules.changes for a locked schedule.
-- Called by taskmaster.tasks.schedules.editing for a new one.
-- Called by taskmaster.tasks.schedules.manual_runs for the preview of a back-fill.
-- Called by taskmaster.tasks.schedules.pausing_all.
-- Called by taskmaster.tasks.schedules.stored for a preview.
-- Called by taskmaster.tasks.schedules.sync.
-- Called by taskmaster.tasks.cli.schedules and taskmaster.tasks.cli.schedule_import for previews.
SELECT clock_timestamp()
