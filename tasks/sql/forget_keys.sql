-- Drops idempotency keys that are older than they are kept, a bounded number at a time; those that
-- another transaction holds are left to it. Index: idx_idempotency_at. Called by
-- tasks.api.idempotency, now and then.
DELETE FROM tasks_idempotencykey AS old
USING (
    SELECT user_id, key
    FROM tasks_idempotencykey
    WHERE at < now() - make_interval(secs => %(kept_s)s)
    ORDER BY at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
) AS found
WHERE
    old.user_id = found.user_id
    AND old.key = found.key
