-- Ends the session that a dead coordinator still has, frozen or cut off: with it goes the lock of the
-- one that reconciles pools, which another waits for. One that comes back connects anew.
-- Called by the peers' watch.
SELECT pg_terminate_backend(lock.pid)
FROM pg_locks AS lock
WHERE
    lock.locktype = 'advisory'
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND lock.classid::bigint = (%(lock_key)s::bigint >> 32)
    AND lock.objid::bigint = (%(lock_key)s::bigint & 4294967295)
    AND lock.objsubid = 1
    AND lock.pid <> pg_backend_pid()
