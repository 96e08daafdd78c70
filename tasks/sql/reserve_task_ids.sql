-- Purpose: reserve ids for a bulk submission, since COPY returns none.
-- Called by taskmaster.tasks.enqueue.
SELECT nextval(pg_get_serial_sequence('taskmaster_tasks_task', 'id'))
FROM generate_series(1, %(count)s)
