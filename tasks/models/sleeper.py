"""Who must be woken when a task is stored."""

from __future__ import annotations

from django.db import models


class Sleeper(models.Model):
    """A coordinator that waits for a NOTIFY.

    NOTIFY in every INSERT caps submission at 5,000/s; sent only while somebody sleeps it costs a
    tenth. A row stands here while a coordinator sleeps: it inserts the row, commits, and looks for
    work a last time before it waits. A submitter reads the table after its own commit.
    """

    coordinator = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.coordinator)
