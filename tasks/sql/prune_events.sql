-- Purpose: delete the events whose id is at least `kept` below the newest id, at most `batch` of them,
-- the oldest first.
-- Index: primary key.
-- Called by taskmaster.coordinator.pruning.tables.
DELETE FROM taskmaster_tasks_event
WHERE
    id = ANY (
        ARRAY(
            SELECT id
            FROM taskmaster_tasks_event
            WHERE id <= (SELECT max(id) FROM taskmaster_tasks_event) - %(kept)s
            ORDER BY id
            LIMIT %(batch)s
        )
    )
