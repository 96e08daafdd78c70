-- Purpose: return TRUE if a coordinator is dead.
-- It is dead if its lock is free after `suspect_s` of silence: its session is gone.
-- It is also dead after `silence_s` of silence, even if its session exists: frozen, or cut off.
-- A coordinator whose row is not online counts as silent forever.
-- Guard: in the first case this transaction takes the lock, so only one coordinator takes over.
-- Index: primary key.
-- Called by taskmaster.coordinator.liveness.peers.
SELECT
    CASE
        WHEN COALESCE(peer.silent_s, 'infinity') > %(silence_s)s THEN TRUE
        WHEN COALESCE(peer.silent_s, 'infinity') > %(suspect_s)s
            THEN pg_try_advisory_xact_lock(%(lock_key)s)
        ELSE FALSE
    END
FROM (VALUES (%(id)s::uuid)) AS asked (id)
LEFT JOIN (
    SELECT
        id,
        EXTRACT(EPOCH FROM now() - last_seen_at)::float8 AS silent_s
    FROM taskmaster_coordinator_coordinator
    WHERE online
) AS peer ON peer.id = asked.id
