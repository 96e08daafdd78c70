"""Define the app that contains TaskMaster's templates, static files and management command."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TaskMasterConfig(AppConfig):
    name = "taskmaster"
    verbose_name = "TaskMaster"

    def ready(self) -> None:
        from taskmaster import checks, role_groups  # noqa: F401 - checks registers itself

        post_migrate.connect(role_groups.create_after_migrate)
