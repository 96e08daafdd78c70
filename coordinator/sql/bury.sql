-- TRUE when the coordinator is dead: its lock is free, so its session is gone, and it has not been
-- heard of for a moment; or it has been silent for as long as no living one is, whatever its session
-- says: frozen, or cut off. While its lock is free this transaction alone may clean up after it.
-- Called by the peers' watch.
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
    FROM coordinator_coordinator
    WHERE online
) AS peer ON peer.id = asked.id
