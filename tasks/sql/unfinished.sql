-- Whether there is an operation to run, be it that somebody is at it. Changes nothing.
-- Index: idx_operations_active. Called by the operator.
SELECT EXISTS (
    SELECT
    FROM tasks_operation
    WHERE state IN ('queued', 'running')
)
