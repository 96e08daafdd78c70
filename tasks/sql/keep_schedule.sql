-- Purpose: keep a schedule from being deleted until the transaction ends. The leader still moves it
-- on, and users still change it.
-- Guard: none; it changes no row. There is no row if the schedule does not exist.
-- Index: primary key.
-- Called by taskmaster.tasks.bulk.backfill.
SELECT id
FROM taskmaster_tasks_schedule
WHERE id = %(schedule_id)s
FOR KEY SHARE
