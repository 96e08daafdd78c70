-- Purpose: terminate the session that a dead coordinator still has because it is frozen or cut off.
-- This also releases the leader lock, so that another coordinator can reconcile the worker pools.
-- A coordinator that recovers reconnects.
-- Guard: the session holds the coordinator's advisory lock and is not the current session.
-- Called by taskmaster.coordinator.liveness.peers.
SELECT pg_terminate_backend(lock.pid)
FROM pg_locks AS lock
WHERE
    lock.locktype = 'advisory'
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND lock.classid::bigint = (%(lock_key)s::bigint >> 32)
    AND lock.objid::bigint = (%(lock_key)s::bigint & 4294967295)
    AND lock.objsubid = 1
    AND lock.pid <> pg_backend_pid()
