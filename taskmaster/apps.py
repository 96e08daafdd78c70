"""Define the app that contains TaskMaster's templates, static files and management command."""

from django.apps import AppConfig


class TaskMasterConfig(AppConfig):
    name = "taskmaster"
    verbose_name = "TaskMaster"

    def ready(self) -> None:
        from taskmaster import checks  # noqa: F401 - registers itself
