-- Purpose: let all coordinators read the pauses when the transaction commits: one has changed.
-- Called by taskmaster.tasks.policies.pausing.
SELECT pg_notify('taskmaster_pause', '')
