"""Configure the tasks app: models, admin and life cycle."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "taskmaster.tasks"
    label = "taskmaster_tasks"
    verbose_name = "TaskMaster tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from taskmaster.tasks import checks  # noqa: F401 - registers itself
