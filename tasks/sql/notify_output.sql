-- Purpose: notify the web processes that these watched tasks have new output.
-- Called by taskmaster.coordinator.events.publisher.
SELECT pg_notify('taskmaster_output', %(ids)s)
