-- Purpose: reserve the names of processes before they are started, so that a coordinator that takes
-- over knows every possible process.
-- Guard: a name that was reserved concurrently is left out.
-- Index: unique (name).
-- Called by taskmaster.workers.pools.local_members.
INSERT INTO taskmaster_workers_poolmember (pool, name, host, log_path)
SELECT
    %(pool)s,
    wanted.name,
    %(host)s,
    wanted.log_path
FROM unnest(%(names)s::text[], %(log_paths)s::text[]) AS wanted (name, log_path)
ON CONFLICT (name) DO NOTHING
RETURNING id, name
