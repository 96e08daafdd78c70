-- Purpose: replace the names that the workers of a coordinator know. `workers` is a JSON list with
-- an object for each combination of queues and names. It also deletes the rows of coordinators whose
-- sign of life replace_capacity.sql has deleted.
-- Guard: none.
-- Called by taskmaster.coordinator.liveness.capacity, when the workers have changed.
-- Called by taskmaster.coordinator.process at exit, without workers.
WITH deleted AS (
    DELETE FROM taskmaster_tasks_knownnames AS known
    WHERE
        known.coordinator = %(coordinator)s
        OR NOT EXISTS (
            SELECT
            FROM taskmaster_tasks_queuestate AS sign
            WHERE sign.coordinator = known.coordinator AND sign.queue = ''
        )
)
INSERT INTO taskmaster_tasks_knownnames (coordinator, queues, names)
SELECT %(coordinator)s, queues, names
FROM json_to_recordset(%(workers)s::json) AS worker (queues text[], names text[])
