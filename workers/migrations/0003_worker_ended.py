"""Record how a worker ended."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('taskmaster_workers', '0002_default_pool'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='ended',
            field=models.CharField(blank=True, choices=[('', 'unknown'), ('drained', 'drained'), ('stopped', 'stopped'), ('killed', 'killed'), ('lost', 'lost')], db_default='', default='', help_text='How it ended: `drained`, `stopped`, `killed` or `lost`. Empty: not yet, or unknown, because its coordinator ended first.', max_length=7),
        ),
    ]
