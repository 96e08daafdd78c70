-- Purpose: read the two newest generations of the key that signs offers, the newest first.
-- Index: primary key.
-- Called by taskmaster.coordinator.dispatch.offer_tokens.
SELECT key
FROM taskmaster_coordinator_offerkey
ORDER BY generation DESC
LIMIT 2
