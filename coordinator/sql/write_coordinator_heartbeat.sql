-- Purpose: write a coordinator's heartbeat and list all coordinators that are online.
-- `silent_s` is the seconds since a coordinator's last heartbeat, by the database's clock.
-- The list is a snapshot from before the update, so it has the previous heartbeat of the caller.
-- The age parameters are seconds before now.
-- Index: primary key for the update.
-- Called by taskmaster.coordinator.liveness.peers.
WITH heartbeat AS (
    UPDATE taskmaster_coordinator_coordinator
    SET
        online = TRUE,
        held = %(held)s,
        in_flight = %(in_flight)s,
        connections = %(connections)s,
        loop_lag_ms = %(loop_lag_ms)s,
        heard_at = now() - make_interval(secs => %(heard_age_s)s::float8),
        claimed_at = now() - make_interval(secs => %(claimed_age_s)s::float8),
        flushed_at = now() - make_interval(secs => %(flushed_age_s)s::float8),
        health_problem = %(health_problem)s,
        last_seen_at = now()
    WHERE id = %(id)s
)
SELECT
    id,
    address,
    EXTRACT(EPOCH FROM now() - last_seen_at)::float8 AS silent_s
FROM taskmaster_coordinator_coordinator
WHERE online
ORDER BY started_at
