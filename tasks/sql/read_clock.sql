-- Purpose: return the time of the database, whose clock decides which due times have passed. It is
-- the time of this statement, since the transaction may have waited for a lock.
-- Called by taskmaster.tasks.schedules.changes.
SELECT clock_timestamp()
