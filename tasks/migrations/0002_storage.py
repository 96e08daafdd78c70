"""How the hot tables are stored.

Tasks are updated several times in seconds: pages are left a third empty for it, and autovacuum
comes after a fixed number of rows instead of a share of a history of millions.
"""

from django.db import migrations

_TASK = """
ALTER TABLE tasks_task SET (
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
ALTER TABLE tasks_task RESET (
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
_SLEEPER = """
ALTER TABLE tasks_sleeper SET (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
)
"""
_SLEEPER_BACK = """
ALTER TABLE tasks_sleeper RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold
)
"""


class Migration(migrations.Migration):
    dependencies = [("tasks", "0001_initial")]

    operations = [
        migrations.RunSQL(_TASK, _TASK_BACK),
        migrations.RunSQL(_SLEEPER, _SLEEPER_BACK),
    ]
