"""Define the table of recent password checks at the API."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class LoginAttempt(models.Model):
    """Count the failed logins of a user name or an address within one period.

    `key` is a digest: a user name that is typed wrongly can be a password.
    """

    key = models.CharField(max_length=32, primary_key=True)
    attempts = models.PositiveIntegerField()
    since = models.DateTimeField(db_default=Now(), help_text="Start of the period.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.attempts}"
