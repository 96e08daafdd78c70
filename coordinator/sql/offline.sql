-- A coordinator has ended, or was found dead. Called by the lifeline.
UPDATE coordinator_coordinator
SET
    online = FALSE,
    held = 0,
    in_flight = 0
WHERE id = %(id)s
