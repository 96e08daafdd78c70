-- A coordinator lives, and names the others that say so too. Called by the lifeline.
WITH beat AS (
    UPDATE coordinator_coordinator
    SET
        online = TRUE,
        held = %(held)s,
        in_flight = %(in_flight)s,
        last_seen_at = now()
    WHERE id = %(id)s
)
SELECT
    id,
    lock_key,
    address
FROM coordinator_coordinator
WHERE online
ORDER BY started_at
