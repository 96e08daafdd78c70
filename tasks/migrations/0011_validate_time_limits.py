from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('taskmaster_tasks', '0010_time_limits'),
    ]

    operations = [
        ValidateConstraint(model_name='schedule', name='taskmaster_schedule_times_1970_to_9000'),
        ValidateConstraint(model_name='schedulerstate', name='taskmaster_pause_times_1970_to_9000'),
        ValidateConstraint(model_name='task', name='taskmaster_task_times_1970_to_9000'),
    ]
