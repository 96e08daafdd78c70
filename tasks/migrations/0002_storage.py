"""Set the storage of the hot tables, the pause before a retry, and the first row of the statistics.

Tasks are updated several times within seconds. Their pages are therefore filled to 70 percent, and
autovacuum runs after a fixed number of rows instead of a share of a history of millions.
"""

from django.db import migrations

_TASK = """
ALTER TABLE taskmaster_tasks_task SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
)
"""
_TASK_BACK = """
ALTER TABLE taskmaster_tasks_task RESET (
    fillfactor,
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_vacuum_insert_threshold,
    autovacuum_analyze_scale_factor,
    autovacuum_analyze_threshold,
    autovacuum_vacuum_cost_delay
)
"""
#: Table, fill factor, and how many dead rows start a vacuum. Their few rows are updated up to
#: several times a second.
_SMALL_TABLES = (
    ("idlecoordinator", 50, 200),
    ("statistic", 40, 1000),
    ("queuedepth", 40, 1000),
    ("queuestate", 40, 1000),
)
#: The pause before the next attempt: exponential, capped, and shortened by up to a quarter at
#: random, so that tasks that failed together are not retried together. It is a function because
#: fail_attempts.sql and rescue_orphans.sql both need it.
_PAUSE = """
CREATE FUNCTION taskmaster_tasks_pause(attempt integer, base_s float8, cap_s float8)
RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN make_interval(
    secs => LEAST(cap_s, base_s * 2.0::float8 ^ LEAST(attempt - 1, 60)) * (1 - random() / 4)
)
"""
_PAUSE_BACK = "DROP FUNCTION taskmaster_tasks_pause(integer, float8, float8)"
#: The row to which old statistics are summed up.
_BASE = """
INSERT INTO taskmaster_tasks_statistic (at, source, wait, run)
VALUES ('2000-01-01 00:00:00+00', '00000000-0000-0000-0000-000000000000', '{}', '{}')
"""


def _small_table(name: str, fillfactor: int, threshold: int) -> migrations.RunSQL:
    table = f"taskmaster_tasks_{name}"
    return migrations.RunSQL(
        f"ALTER TABLE {table} SET (fillfactor = {fillfactor}, "
        f"autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = {threshold})",
        f"ALTER TABLE {table} RESET (fillfactor, "
        "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
    )


class Migration(migrations.Migration):
    dependencies = [("taskmaster_tasks", "0001_initial")]

    operations = [
        migrations.RunSQL(_TASK, _TASK_BACK),
        *(_small_table(*each) for each in _SMALL_TABLES),
        migrations.RunSQL(_PAUSE, _PAUSE_BACK),
        migrations.RunSQL(_BASE, migrations.RunSQL.noop),
    ]
