-- Purpose: return the held tasks that the coordinator may still offer. Tasks that were cancelled or
-- moved since the claim are not returned.
-- Guard: none; it changes no row. It checks the lease and status = 'picked'.
-- Index: as in start_attempts.sql.
-- Called by taskmaster.coordinator.dispatch.lookahead, when held tasks fall due.
SELECT task.id
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS held (id, lease)
INNER JOIN taskmaster_tasks_task AS task ON task.id = held.id
WHERE
    task.lease = held.lease
    AND held.lease - held.lease = 0
    AND task.status || '' = 'picked'
