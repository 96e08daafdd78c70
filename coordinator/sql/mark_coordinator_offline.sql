-- Purpose: mark a coordinator as offline after it has ended or was declared dead.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.peers and taskmaster.coordinator.process.
UPDATE taskmaster_coordinator_coordinator
SET
    online = FALSE,
    held = 0,
    in_flight = 0
WHERE id = %(id)s
