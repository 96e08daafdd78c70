-- Drops all but the newest events. Index: primary key. Called by tasks.events now and then.
DELETE FROM tasks_event
WHERE id <= (SELECT max(id) FROM tasks_event) - %(kept)s
