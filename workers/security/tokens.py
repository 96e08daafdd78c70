"""Create join tokens, show them once, store their digests and revoke them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from taskmaster.tasks.errors import IllegalTransition, InvalidField, NotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.workers.models import JoinToken

#: Identifies a leaked token to people and to secret scanners.
PREFIX = "tmjoin_"
#: 256 random bits cannot be guessed, so it is safe to store a plain digest.
_RANDOM_BYTES = 32
_NAME_MAX = 100
USES_MAX = 1_000_000


class JoinTokenNotFound(NotFound):
    """Raised when no join token has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no join token {name!r}.")


class NewJoinToken(NamedTuple):
    """Hold a new token: its row, and the secret that is not stored."""

    row: JoinToken
    secret: str


def digest(token: str) -> str:
    """Return the SHA-256 of a token, in hex, which is stored instead of the token.

    The token is 256 random bits, so a slow hash would add no security.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def check(name: str, *, expires_at: datetime | None, uses: int | None) -> None:
    """Check the values of a new token. Raises InvalidField."""
    if not _is_name(name):
        raise InvalidField("name", f"must be 1 to {_NAME_MAX} printable characters.")
    if expires_at is not None:
        _check_expiry(expires_at)
    if uses is not None and not 1 <= uses <= USES_MAX:
        raise InvalidField("uses", f"is {uses}; it must be from 1 to {USES_MAX:,}.")


def create(
    name: str,
    *,
    expires_at: datetime | None = None,
    uses: int | None = None,
    by: Any = None,
    using: str = DEFAULT_DB_ALIAS,
) -> NewJoinToken:
    """Create a token for `uses` workers (None: any number) on behalf of the user `by`.

    Raises InvalidField for a name that is taken or invalid, a time in the past, or an invalid
    number of uses.
    """
    check(name, expires_at=expires_at, uses=uses)
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    row = JoinToken(
        name=name, digest=digest(secret), created_by=by, expires_at=expires_at, uses_left=uses
    )
    try:
        with transaction.atomic(using=using):
            row.save(using=using, force_insert=True)
    except IntegrityError:
        raise InvalidField(
            "name", f"{name!r} is taken, possibly by a revoked token; choose another name."
        ) from None
    _publish("created", name, by, using)
    return NewJoinToken(row, secret)


def revoke(name: str, *, by: Any = None, using: str = DEFAULT_DB_ALIAS) -> JoinToken:
    """Revoke a token.

    No worker can join with it from now on. Workers that have joined with it are disconnected within
    10 s. Raises JoinTokenNotFound, or IllegalTransition when it was revoked before.
    """
    if not _is_name(name):
        raise JoinTokenNotFound(name)
    named = JoinToken.objects.using(using).filter(name=name)
    changed = named.filter(revoked_at__isnull=True).update(revoked_at=Now())
    row = named.first()
    if row is None:
        raise JoinTokenNotFound(name)
    if not changed:
        raise IllegalTransition(f"Join token {name!r} was revoked on {row.revoked_at:%Y-%m-%d}.")
    _publish("revoked", name, by, using)
    return row


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _NAME_MAX and text.isprintable()


def _check_expiry(when: datetime) -> None:
    if when <= timezone.now():
        raise InvalidField(
            "expires_at", "is in the past; omit it for a token that does not expire."
        )
    try:
        when.astimezone(UTC)
    except OverflowError:
        # PostgreSQL could store the time, but Python could not read it.
        raise InvalidField("expires_at", "is after the year 9999.") from None


def _publish(what: str, name: str, by: Any, using: str) -> None:
    user = by.get_username() if by is not None else ""
    text = f"{what} join token {name}" if user else f"join token {name} was {what}"
    publish([NewEvent(EventKind.OPERATOR, text, user=user)], using=using)
