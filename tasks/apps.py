"""The domain: what a task is, and how it changes."""

import django_stubs_ext
from django.apps import AppConfig

# So that `ModelForm[Task]` and `ModelAdmin[Task]` are classes at run time, too.
django_stubs_ext.monkeypatch()


class TasksConfig(AppConfig):
    name = "tasks"
    verbose_name = "Tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tasks import checks  # noqa: F401 - registers itself
        from tasks.conf import settings

        # A wrong setting stops the start, not a request.
        settings()
