-- What the reconciler found of a pool, and what it makes of it.
-- Guard: nothing while somebody has scaled it meanwhile, which clears what was; the next look is due
-- at once. Called by workers.pools.store.
UPDATE workers_workerpool AS pool
SET
    actual = %(actual)s,
    registered = %(registered)s,
    draining = %(draining)s,
    state = %(state)s,
    error = %(error)s,
    last_log = %(last_log)s,
    failures = %(failures)s,
    retry_at = now() + %(retry_in_s)s::float8 * INTERVAL '1 second',
    reconciled_at = now()
WHERE
    pool.name = %(name)s
    AND pool.desired = %(desired)s
