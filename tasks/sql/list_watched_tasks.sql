-- Purpose: list the tasks that web processes currently display.
-- Guard: none; it changes no row.
-- Called by taskmaster.coordinator.events.publisher.
-- Called by taskmaster.tasks.events.publish, when it aggregates events.
SELECT task_id
FROM taskmaster_tasks_tasksubscription
WHERE until > now()
