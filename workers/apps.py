"""Configure the app of workers, pools and join tokens."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "taskmaster.workers"
    label = "taskmaster_workers"
    verbose_name = "TaskMaster workers"
    default_auto_field = "django.db.models.BigAutoField"
