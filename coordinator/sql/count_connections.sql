-- Purpose: count the connections of this database from all clients.
-- Called by taskmaster.coordinator.liveness.health.
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database()
