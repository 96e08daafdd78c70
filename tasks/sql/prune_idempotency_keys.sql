-- Purpose: delete expired idempotency keys, at most `batch` of them, the oldest first.
-- Guard: keys that another transaction has locked are skipped.
-- Index: taskmaster_idempotency_at.
-- Called by taskmaster.coordinator.pruning.tables.
DELETE FROM taskmaster_tasks_idempotencykey AS old
USING (
    SELECT user_id, key
    FROM taskmaster_tasks_idempotencykey
    WHERE at < now() - make_interval(secs => %(kept_s)s)
    ORDER BY at
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
) AS found
WHERE
    old.user_id = found.user_id
    AND old.key = found.key
