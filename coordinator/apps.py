"""Configure the app that holds the coordinator model and the command `runcoordinator`."""

from django.apps import AppConfig


class CoordinatorConfig(AppConfig):
    name = "taskmaster.coordinator"
    label = "taskmaster_coordinator"
    verbose_name = "TaskMaster coordinators"
    default_auto_field = "django.db.models.BigAutoField"
