-- Takes ids for a bulk, since COPY returns none. Called by tasks.enqueue.
SELECT nextval(pg_get_serial_sequence('tasks_task', 'id'))
FROM generate_series(1, %(count)s)
