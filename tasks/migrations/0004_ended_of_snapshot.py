"""Store the number of ended tasks with each count."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('taskmaster_tasks', '0003_error_line'),
    ]

    operations = [
        migrations.AddField(
            model_name='depthsnapshot',
            name='cancelled',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='depthsnapshot',
            name='complete',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='depthsnapshot',
            name='failed',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
