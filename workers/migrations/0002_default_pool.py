"""The pool `default`, of no workers yet."""

from django.db import migrations


def make_default(apps, schema_editor):
    pools = apps.get_model("taskmaster_workers", "WorkerPool").objects
    pools.using(schema_editor.connection.alias).get_or_create(name="default")


class Migration(migrations.Migration):
    dependencies = [("taskmaster_workers", "0001_initial")]

    operations = [migrations.RunPython(make_default, migrations.RunPython.noop)]
