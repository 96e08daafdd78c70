-- Purpose: write the findings of the reconciler about a pool.
-- Guard: the desired number has not changed. A change clears the findings, and the next iteration
-- is due immediately.
-- Index: unique (name).
-- Called by taskmaster.workers.pools.reconciler.
UPDATE taskmaster_workers_workerpool AS pool
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
