"""Define the join token that authenticates workers of other hosts."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class JoinToken(models.Model):
    """Store the digest of one token. A row is never edited. A token is only used and revoked."""

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hex.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: created on the command line.",
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When the token expires. Empty: never."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    uses_left = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Remaining number of workers that may join with it. A worker that reconnects "
        "does not count. Empty: unlimited.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
