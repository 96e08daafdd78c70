-- Purpose: read the time of a coordinator's last heartbeat. Without its row there is no row.
-- Guard: none; it changes no row.
-- Index: primary key.
-- Called by taskmaster.coordinator.schedules.runner, when the lead has changed.
SELECT last_seen_at
FROM taskmaster_coordinator_coordinator
WHERE id = %(coordinator)s
