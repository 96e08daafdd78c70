-- Purpose: list the advisory locks of the session that holds the leader lock. One of them is the
-- `lock_key` of the leading coordinator. Without a leader there is no row.
-- Guard: none; it changes no row.
-- Called by taskmaster.taskmaster_site.pages.page_context.
SELECT (held.classid::bigint << 32) | held.objid::bigint
FROM pg_locks AS leader
INNER JOIN pg_locks AS held ON held.pid = leader.pid
WHERE
    leader.locktype = 'advisory'
    AND leader.granted
    AND leader.objsubid = 1
    AND leader.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((leader.classid::bigint << 32) | leader.objid::bigint) = %(lock_key)s
    AND held.locktype = 'advisory'
    AND held.granted
    AND held.objsubid = 1
    AND held.database = leader.database
