from datetime import UTC, datetime

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

RANGE = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


def within(*columns):
    return models.Q(**{f"{column}__range": RANGE for column in columns})


class Migration(migrations.Migration):
    # Not valid: the table of tasks is not read while it is locked. The next migration reads it.

    dependencies = [
        ('taskmaster_tasks', '0009_runs_by_time'),
    ]

    operations = [
        AddConstraintNotValid(
            model_name='schedule',
            constraint=models.CheckConstraint(
                condition=within('anchor', 'starts_at', 'ends_at', 'paused_at', 'next_due_at', 'next_run_at')
                & models.Q(
                    models.Func(
                        'dates',
                        output_field=models.BooleanField(),
                        template="('1970-01-01 00:00:00+00:00' <= ALL (%(expressions)s) AND '9000-01-01 00:00:00+00:00' >= ALL (%(expressions)s))",
                    )
                ),
                name='taskmaster_schedule_times_1970_to_9000',
            ),
        ),
        AddConstraintNotValid(
            model_name='schedulerstate',
            constraint=models.CheckConstraint(
                condition=within('checked_at', 'paused_at'),
                name='taskmaster_pause_times_1970_to_9000',
            ),
        ),
        AddConstraintNotValid(
            model_name='task',
            constraint=models.CheckConstraint(
                condition=within('scheduled_at', 'created_at', 'scheduled_for'),
                name='taskmaster_task_times_1970_to_9000',
            ),
        ),
    ]
