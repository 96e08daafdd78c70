"""Each task's own policy: the pauses between its attempts, and what a lost contact does to it."""

from django.db import migrations, models


#: The pause before the attempt that follows this one: exponential, capped, and up to a quarter off at
#: random, so that what failed together does not come back together. A function, since fail.sql and
#: rescue.sql both need it.
_PAUSE = """
CREATE FUNCTION tasks_pause(attempt integer, base_s float8, cap_s float8) RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN make_interval(
    secs => LEAST(cap_s, base_s * 2.0::float8 ^ LEAST(attempt - 1, 60)) * (1 - random() / 4)
)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tasks', '0002_storage'),
    ]

    operations = [
        migrations.AddField(
            model_name='task',
            name='on_lost_contact',
            field=models.CharField(choices=[('continue', 'continue'), ('stop', 'stop')], db_default='continue', default='continue', help_text='What its worker does with it when no coordinator can be reached.', max_length=8),
        ),
        migrations.AddField(
            model_name='task',
            name='retry_base_s',
            field=models.FloatField(db_default=1, default=1, help_text='First pause before a retry in seconds; it doubles.'),
        ),
        migrations.AddField(
            model_name='task',
            name='retry_cap_s',
            field=models.FloatField(db_default=600, default=600, help_text='The longest pause before a retry in seconds.'),
        ),
        migrations.RunSQL(
            _PAUSE, "DROP FUNCTION tasks_pause(integer, float8, float8)"
        ),
    ]
