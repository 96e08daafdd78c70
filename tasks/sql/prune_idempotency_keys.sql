-- Purpose: delete expired idempotency keys, at most 1,000 in one call. Keys that another
-- transaction has locked are skipped.
-- Index: taskmaster_idempotency_at.
-- Called by taskmaster.tasks.api.idempotency, periodically.
DELETE FROM taskmaster_tasks_idempotencykey AS old
USING (
    SELECT user_id, key
    FROM taskmaster_tasks_idempotencykey
    WHERE at < now() - make_interval(secs => %(kept_s)s)
    ORDER BY at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
) AS found
WHERE
    old.user_id = found.user_id
    AND old.key = found.key
