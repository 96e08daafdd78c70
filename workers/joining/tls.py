"""TLS and the join token as the environment declares them, checked before anything is sent.

TASKMASTER_TLS_CERT, TASKMASTER_TLS_KEY   the process's own certificate chain and key (PEM)
TASKMASTER_TLS_CA                         what the other side's certificate is checked with
TASKMASTER_TLS_CLIENT_CERTS=required      coordinators: workers need a certificate too
TASKMASTER_JOIN_TOKEN                     workers: lets them in
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

_CERT, _KEY, _CA = "TASKMASTER_TLS_CERT", "TASKMASTER_TLS_KEY", "TASKMASTER_TLS_CA"
_CLIENT_CERTS = "TASKMASTER_TLS_CLIENT_CERTS"
_TOKEN = "TASKMASTER_JOIN_TOKEN"
#: What a header may carry of it.
_TOKEN_TEXT = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its key, as PEM."""

    chain: bytes
    key: bytes = field(repr=False)
    expires_at: datetime
    #: Names and addresses that the certificate is for, `*.example.org` perhaps.
    names: frozenset[str]

    def covers(self, host: str) -> bool:
        """Whether whoever knows the process as `host` finds that in its certificate."""
        return not {host.lower(), f"*.{host.lower().partition('.')[2]}"}.isdisjoint(self.names)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a coordinator serves with."""

    pair: Pair
    #: Clients need a certificate that this authority has signed; None: they need none.
    client_ca: bytes | None


@dataclass(frozen=True, slots=True)
class Access:
    """How a worker reaches coordinators, and by what it is let in."""

    #: The authority that has signed the coordinators' certificates; None: no TLS.
    ca: bytes | None = None
    #: The worker's own, for coordinators that want one.
    pair: Pair | None = None
    token: str = field(default="", repr=False)


def of_coordinator(environ: Mapping[str, str]) -> ServerTls | None:
    """TLS of a coordinator; None when it has none. Raises ConfigurationError."""
    pair = _pair(environ)
    wanted = environ.get(_CLIENT_CERTS, "")
    if wanted not in ("", "required"):
        raise ConfigurationError(
            f"{_CLIENT_CERTS} is {wanted!r}; it must be 'required', or left out."
        )
    if not wanted:
        return None if pair is None else ServerTls(pair, None)
    if pair is None:
        raise ConfigurationError(f"{_CLIENT_CERTS} needs {_CERT} and {_KEY}.")
    if not environ.get(_CA):
        raise ConfigurationError(
            f"{_CLIENT_CERTS} needs {_CA}: the authority that signs the workers' certificates."
        )
    return ServerTls(pair, _authority(environ[_CA]))


def of_worker(environ: Mapping[str, str]) -> Access:
    """What a worker needs to be let in. Raises ConfigurationError."""
    token = environ.get(_TOKEN, "")
    if token and not _TOKEN_TEXT.fullmatch(token):
        raise ConfigurationError(f"{_TOKEN} is no join token: it has spaces, or is too long.")
    pair = _pair(environ)
    if not environ.get(_CA):
        if pair is not None:
            raise ConfigurationError(
                f"{_CERT} is set, and {_CA} is not: the authority by which a worker knows that it "
                "speaks to its coordinator."
            )
        return Access(token=token)
    if not token:
        raise ConfigurationError(
            f"{_CA} is set, and {_TOKEN} is not: coordinators with TLS let nobody in without; "
            "`manage.py taskmaster join-token` makes one."
        )
    return Access(_authority(environ[_CA]), pair, token)


def _pair(environ: Mapping[str, str]) -> Pair | None:
    given = [name for name in (_CERT, _KEY) if environ.get(name)]
    if not given:
        return None
    if len(given) == 1:
        raise ConfigurationError(f"{given[0]} is set alone; {_CERT} and {_KEY} go together.")
    # Takes a moment, which whoever has no TLS need not wait for.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain, key = _read(_CERT, environ[_CERT]), _read(_KEY, environ[_KEY])
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ConfigurationError(
            f"{_CERT}: {environ[_CERT]} holds no certificate in PEM."
        ) from None
    try:
        matching = load_pem_private_key(key, None).public_key() == certificate.public_key()
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{_KEY}: {environ[_KEY]} holds no key in PEM without a password."
        ) from None
    if not matching:
        raise ConfigurationError(
            f"{_KEY}: {environ[_KEY]} is not the key of the certificate {environ[_CERT]}."
        )
    expires_at = certificate.not_valid_after_utc
    if expires_at <= datetime.now(UTC):
        raise ConfigurationError(
            f"{_CERT}: {environ[_CERT]} expired at {expires_at:%Y-%m-%d %H:%M} UTC; "
            "`manage.py taskmaster certs` signs a new one."
        )
    return Pair(chain, key, expires_at, _names(certificate))


def _names(certificate: x509.Certificate) -> frozenset[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return frozenset([*map(str.lower, found.get_values_for_type(x509.DNSName)), *addresses])


def _authority(path: str) -> bytes:
    from cryptography import x509

    content = _read(_CA, path)
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigurationError(f"{_CA}: {path} holds no certificate in PEM.") from None
    return content


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}.") from None
