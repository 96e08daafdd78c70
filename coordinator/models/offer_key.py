"""Define the keys that sign offers."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OfferKey(models.Model):
    """Store one generation of the key that signs the offers of all coordinators.

    The newest generation signs. The one before it is still accepted.
    """

    generation = models.PositiveIntegerField(primary_key=True)
    key = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"generation {self.generation}"
