-- Wakes the coordinators that sleep; returns a row if one did, and sends no NOTIFY if none did.
-- Must run after the commit of what they are to find: read inside the transaction it would miss one
-- that falls asleep meanwhile. Called by tasks.wake, and by the claimer when
-- tasks came back to pending.
SELECT pg_notify('taskmaster_wake', '')
WHERE EXISTS (SELECT FROM tasks_sleeper)
