"""Limit and log the password checks of the API.

The counts are rows in PostgreSQL, because several web processes share them. An attempt is counted
before its password is checked, so that concurrent attempts cannot exceed the limit, and is refunded
if it succeeds. The password of a refused attempt is not checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import logging
import unicodedata

from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.settings import api_settings

from taskmaster.tasks.store import sync_store as store

log = logging.getLogger(__name__)

#: Length of a period in seconds, and the failed logins that one period permits. An address may have
#: several users.
PERIOD_S = 300
PER_USER = 10
PER_ADDRESS = 50
#: Counts of old periods are deleted once in this number of attempts.
PRUNE_EVERY = 200
#: Maximum length of a user name in the log; Django's user model has the same limit.
_NAME_MAX = 150
_uses = itertools.count(1)


class Login:
    """Count one login attempt from an address with a user name."""

    def __init__(self, address: str, name: object) -> None:
        self.address = address
        self.name = str(name)[:_NAME_MAX] if isinstance(name, str | int) else ""
        network = _network(address)
        user = unicodedata.normalize("NFKC", self.name).casefold()
        self._keys = (_key("address", network), _key("user", user))

    def take(self) -> None:
        """Count the attempt. Raise Throttled if the address or the user name has no more left."""
        if next(_uses) % PRUNE_EVERY == 0:
            store.prune_login_attempts(period_s=PERIOD_S)
        limits = (("address", PER_ADDRESS), ("user", PER_USER))
        for key, (kind, permitted) in zip(self._keys, limits, strict=True):
            found = store.take_login_attempt(key, permitted=permitted, period_s=PERIOD_S)
            if found is not None and found <= permitted:
                continue
            if found is not None:
                # Logged once in a period, so that a flood of attempts does not flood the log.
                self._log("login refused", f"too many failed logins of this {kind}")
            raise Throttled(
                PERIOD_S,
                f"Too many failed logins of this {kind}: the limit is {permitted} in "
                f"{PERIOD_S // 60} minutes.",
            )

    def succeeded(self) -> None:
        """Refund the attempt."""
        store.refund_login_attempts(self._keys)

    def failed(self, reason: str) -> None:
        """Log the failed attempt."""
        self._log("login failed", reason)

    def _log(self, event: str, reason: str) -> None:
        extra = {"user": self.name, "address": self.address, "reason": reason}
        log.warning(event, extra=extra)


def client_address(request: HttpRequest) -> str:
    """Return the address of the client.

    Behind N proxies (DRF's setting NUM_PROXIES) it is the N-th last entry of X-Forwarded-For. The
    header is ignored without that setting, because any client can send it.
    """
    proxies = api_settings.NUM_PROXIES or 0
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if proxies and forwarded[0]:
        return forwarded[-min(proxies, len(forwarded))]
    return str(request.META.get("REMOTE_ADDR", ""))


def _network(address: str) -> str:
    """Return an IPv4 address itself, and the /64 of an IPv6 address, which one client owns."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found.packed, 64), strict=False))
    return str(found)


def _key(kind: str, value: str) -> str:
    text = f"{kind}:{value}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
