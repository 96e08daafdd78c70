-- A coordinator has ended, or was found dead. Called by the peers' watch, and at its own end.
UPDATE coordinator_coordinator
SET
    online = FALSE,
    held = 0,
    in_flight = 0
WHERE id = %(id)s
