"""The join token: what a worker of another host shows to be let in."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class JoinToken(models.Model):
    """One token, of which only the digest is kept. It is never changed, only used and revoked."""

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hex.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Nobody: it was made on the command line.",
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on it is as if revoked. Empty: never."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    uses_left = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How many more workers may join with it; one that comes back does not count. "
        "Empty: any number.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
