"""The domain: what a task is, and how it changes."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "tasks"
    verbose_name = "Tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tasks import checks  # noqa: F401 - registers itself
        from tasks.conf import settings

        # A wrong setting stops the start, not a request.
        settings()
