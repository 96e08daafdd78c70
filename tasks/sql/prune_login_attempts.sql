-- Purpose: delete the counts of periods that have ended, at most 1,000 in one call. Counts that
-- another transaction has locked are skipped.
-- Called by taskmaster.tasks.api.login, periodically.
DELETE FROM taskmaster_tasks_loginattempt AS old
USING (
    SELECT key
    FROM taskmaster_tasks_loginattempt
    WHERE since < now() - make_interval(secs => %(period_s)s)
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
) AS found
WHERE old.key = found.key
