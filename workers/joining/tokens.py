"""Join tokens: made, shown once, kept as a digest, revoked."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from tasks.errors import IllegalTransition, InvalidField, NotFound
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import publish
from workers.joining.digest import digest
from workers.models import JoinToken

#: So that a token is known as such where it should not be, by people and by scanners.
PREFIX = "tmjoin_"
#: 256 random bits: nothing that could be guessed, so a plain digest of it is safe to keep.
_RANDOM_BYTES = 32
_NAME_MAX = 100
USES_MAX = 1_000_000


class JoinTokenNotFound(NotFound):
    """No join token has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no join token {name!r}.")


class Made(NamedTuple):
    """A new token: its row, and the secret that nobody can read again."""

    row: JoinToken
    secret: str


def check(name: str, *, expires_at: datetime | None, uses: int | None) -> None:
    """Raises InvalidField for what no new token can have."""
    if not _is_name(name):
        raise InvalidField("name", f"must be 1 to {_NAME_MAX} printable characters.")
    if expires_at is not None:
        _check_end(expires_at)
    if uses is not None and not 1 <= uses <= USES_MAX:
        raise InvalidField("uses", f"is {uses}; it must be from 1 to {USES_MAX:,}.")


def make(
    name: str,
    *,
    expires_at: datetime | None = None,
    uses: int | None = None,
    by: Any = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Made:
    """A new token for `uses` workers (None: any number), made by the user `by`.

    Raises InvalidField for a name that is taken or no name, a time that is over, or no uses.
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
            "name", f"{name!r} is taken, perhaps by a token that is revoked; choose another."
        ) from None
    _say("made", name, by, using)
    return Made(row, secret)


def revoke(name: str, *, by: Any = None, using: str = DEFAULT_DB_ALIAS) -> JoinToken:
    """From now on the token lets nobody in, and whoever joined with it is cut off within 10 s.

    Raises JoinTokenNotFound, or IllegalTransition when it was revoked before.
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
    _say("revoked", name, by, using)
    return row


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _NAME_MAX and text.isprintable()


def _check_end(when: datetime) -> None:
    if when <= timezone.now():
        raise InvalidField("expires_at", "lies in the past; leave it out for a token that lasts.")
    try:
        when.astimezone(UTC)
    except OverflowError:
        # PostgreSQL would keep it, and Python could not read it.
        raise InvalidField("expires_at", "lies beyond the year 9999.") from None


def _say(what: str, name: str, by: Any, using: str) -> None:
    user = by.get_username() if by is not None else ""
    text = f"{what} join token {name}" if user else f"join token {name} was {what}"
    publish([NewEvent(Kind.OPERATOR, text, user=user)], using=using)
