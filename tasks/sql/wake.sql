-- Wakes the coordinators that sleep; costs no NOTIFY while none does. Must run after the commit
-- of what they are to find: read inside the transaction it would miss one that falls asleep
-- meanwhile. Called by tasks.enqueue and tasks.operations.
SELECT pg_notify('taskmaster_wake', '')
WHERE EXISTS (SELECT FROM tasks_sleeper)
