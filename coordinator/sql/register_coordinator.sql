-- Purpose: insert the row of a coordinator that has started.
-- It runs when the listener first connects, after the attempt to take the advisory lock.
-- Called by taskmaster.coordinator.process.
INSERT INTO taskmaster_coordinator_coordinator
    (id, lock_key, address, host, pid)
VALUES
    (%(id)s, %(lock_key)s, %(address)s, %(host)s, %(pid)s)
