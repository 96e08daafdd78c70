"""Which submissions were made under a key of the client's."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class IdempotencyKey(models.Model):
    """A key that a user sent with a submission, and how it was answered.

    Stored in the transaction that stores the tasks: there are both, or neither.
    """

    pk = models.CompositePrimaryKey("user_id", "key")
    user_id = models.BigIntegerField()
    key = models.CharField(max_length=255)
    request = models.CharField(max_length=64, help_text="SHA-256 of address and body.")
    answer = models.TextField(help_text="The body of the response.")
    location = models.TextField(help_text="Its header Location, if it had one.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index("at", name="idx_idempotency_at")]

    def __str__(self) -> str:
        return self.key
