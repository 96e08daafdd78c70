-- Purpose: list the tasks that a coordinator has claimed and no worker has accepted.
-- Guard: none; it changes no row.
-- Index: taskmaster_tasks_in_flight.
-- Called by taskmaster.coordinator.liveness.lost_claims after an outage, to find claims whose reply
-- was lost.
SELECT id, lease
FROM taskmaster_tasks_task
WHERE
    coordinator = %(coordinator)s
    AND status = 'picked'
