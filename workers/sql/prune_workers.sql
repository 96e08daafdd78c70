-- Purpose: delete the workers that are offline and sent their last heartbeat at least `kept_s`
-- seconds ago: at most `batch` of them.
-- Guard: the worker is offline. One that another transaction has locked is skipped.
-- Index: none. The table is small.
-- Called by taskmaster.coordinator.pruning.tables.
DELETE FROM taskmaster_workers_worker
WHERE
    id = ANY (
        ARRAY(
            SELECT id
            FROM taskmaster_workers_worker
            WHERE
                status = 'offline'
                AND last_seen_at < now() - make_interval(secs => %(kept_s)s)
            LIMIT %(batch)s
            FOR UPDATE SKIP LOCKED
        )
    )
    AND status = 'offline'
