-- Purpose: delete all keys that sign offers but the two newest generations.
-- Index: primary key.
-- Called by taskmaster.coordinator.dispatch.offer_tokens.
DELETE FROM taskmaster_coordinator_offerkey
WHERE generation < (SELECT max(generation) - 1 FROM taskmaster_coordinator_offerkey)
