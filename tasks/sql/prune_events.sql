-- Purpose: delete the events whose id is at least `kept` below the newest id.
-- Index: primary key.
-- Called by taskmaster.tasks.events.publish, with every 200th publication.
-- Called by taskmaster.coordinator.events.publisher, with every 200th publication.
DELETE FROM taskmaster_tasks_event
WHERE id <= (SELECT max(id) FROM taskmaster_tasks_event) - %(kept)s
