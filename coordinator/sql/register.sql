-- A coordinator has begun. Called by the listener after it took its advisory lock.
INSERT INTO coordinator_coordinator
    (id, lock_key, address, host, pid)
VALUES
    (%(id)s, %(lock_key)s, %(address)s, %(host)s, %(pid)s)
