"""Define the table of idempotency keys."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class IdempotencyKey(models.Model):
    """Store the idempotency key of a submission and its response.

    The row is written in the transaction that stores the tasks, so both exist or neither.
    """

    pk = models.CompositePrimaryKey("user_id", "key")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        related_name="+",
        # Keys are kept for a day. A user can be deleted within that time.
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=255)
    request = models.CharField(max_length=64, help_text="SHA-256 of path and body of the request.")
    answer = models.TextField(help_text="Body of the response.")
    location = models.TextField(help_text="Location header of the response, or empty.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index("at", name="taskmaster_idempotency_at")]

    def __str__(self) -> str:
        return self.key
