-- Purpose: undo what an attempt left in its session: settings, role, locks, cursors, LISTEN and
-- temporary tables. The answer counts the statements of SQL's PREPARE, which are left: removing
-- them would remove those that psycopg has prepared.
-- Called by taskmaster.workers.daemon.child.database after an attempt that used the connection.
CLOSE ALL;
RESET SESSION AUTHORIZATION;
RESET ALL;
UNLISTEN *;
SELECT pg_advisory_unlock_all();
DISCARD TEMP;
DISCARD SEQUENCES;
SELECT count(*) FROM pg_prepared_statements WHERE from_sql;
