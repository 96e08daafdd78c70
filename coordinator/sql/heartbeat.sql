-- A coordinator lives, says how it fares, and learns of the others that are online, with the
-- seconds since each was heard of by the database's clock. Ages are seconds before now.
-- Called by the peers' watch.
WITH beat AS (
    UPDATE coordinator_coordinator
    SET
        online = TRUE,
        held = %(held)s,
        in_flight = %(in_flight)s,
        connections = %(connections)s,
        loop_lag_ms = %(loop_lag_ms)s,
        heard_at = now() - make_interval(secs => %(heard_age_s)s::float8),
        claimed_at = now() - make_interval(secs => %(claimed_age_s)s::float8),
        flushed_at = now() - make_interval(secs => %(flushed_age_s)s::float8),
        complaint = %(complaint)s,
        last_seen_at = now()
    WHERE id = %(id)s
)
SELECT
    id,
    address,
    EXTRACT(EPOCH FROM now() - last_seen_at)::float8 AS silent_s
FROM coordinator_coordinator
WHERE online
ORDER BY started_at
