"""Which tasks somebody looks at."""

from __future__ import annotations

from django.db import models


class Watch(models.Model):
    """A web process shows this task to somebody until then.

    What happens to a watched task is never folded into a count, and what it prints is announced.
    """

    pk = models.CompositePrimaryKey("task_id", "web")
    task_id = models.BigIntegerField()
    web = models.UUIDField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.task_id)
