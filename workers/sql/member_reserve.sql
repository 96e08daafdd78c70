-- Names for processes that are about to be started, before they are: whoever takes over then knows
-- of every process there may be.
-- Guard: a name that another has reserved meanwhile is not taken. Called by workers.pools.members.
INSERT INTO workers_poolmember (pool, name, host, log_path)
SELECT
    %(pool)s,
    wanted.name,
    %(host)s,
    wanted.log_path
FROM unnest(%(names)s::text[], %(log_paths)s::text[]) AS wanted (name, log_path)
ON CONFLICT (name) DO NOTHING
RETURNING id, name
