-- Purpose: delete the bulk operations that ended, or were created and never confirmed, at least
-- `kept_s` seconds ago: at most `batch` of them, the oldest first.
-- Guard: the operation is not active. One that another transaction has locked is skipped.
-- Index: primary key. The table is small.
-- Called by taskmaster.coordinator.pruning.tables.
DELETE FROM taskmaster_tasks_operation
WHERE
    id = ANY (
        ARRAY(
            SELECT id
            FROM taskmaster_tasks_operation
            WHERE
                state NOT IN ('queued', 'running')
                AND COALESCE(finished_at, created_at) < now() - make_interval(secs => %(kept_s)s)
            ORDER BY id
            LIMIT %(batch)s
            FOR UPDATE SKIP LOCKED
        )
    )
    AND state NOT IN ('queued', 'running')
