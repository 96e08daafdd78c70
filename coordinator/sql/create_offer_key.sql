-- Purpose: create the next generation of the key that signs offers, if there is none or the newest
-- is older than `older_s`.
-- Guard: of two coordinators that create the same generation, one succeeds.
-- Index: primary key.
-- Called by taskmaster.coordinator.dispatch.offer_tokens.
INSERT INTO taskmaster_coordinator_offerkey (generation, key)
SELECT
    COALESCE(max(generation), 0) + 1,
    %(key)s
FROM taskmaster_coordinator_offerkey
HAVING COALESCE(max(created_at) < now() - make_interval(secs => %(older_s)s), TRUE)
ON CONFLICT (generation) DO NOTHING
