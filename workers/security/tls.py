"""Read and check the TLS files and the join token that the environment declares.

TASKMASTER_TLS_CERT, TASKMASTER_TLS_KEY   certificate chain and key of this process (PEM)
TASKMASTER_TLS_CA                         authority that verifies the peer's certificate
TASKMASTER_TLS_CLIENT_CERTS=required      coordinators: workers need a certificate, too
TASKMASTER_JOIN_TOKEN                     workers: authenticates them

Certificates and keys are paths of files, or the PEM text itself, as TaskMaster's processes pass it
on. `/dev/fd/N` is an inherited descriptor, which is read once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from taskmaster.tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

_CERT, _KEY, _CA = "TASKMASTER_TLS_CERT", "TASKMASTER_TLS_KEY", "TASKMASTER_TLS_CA"
_CLIENT_CERTS = "TASKMASTER_TLS_CLIENT_CERTS"
_TOKEN = "TASKMASTER_JOIN_TOKEN"
#: Beginning of a certificate or key in PEM.
_PEM = "-----BEGIN "
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
#: Characters that are allowed in a token, because it is sent in a header.
_TOKEN_TEXT = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """Hold a certificate chain and its key, in PEM."""

    chain: bytes
    key: bytes = field(repr=False)
    expires_at: datetime
    #: Names and addresses of the certificate. They may include wildcards like `*.example.org`.
    names: frozenset[str]

    def covers(self, host: str) -> bool:
        """Return whether the certificate is valid for `host`."""
        return not {host.lower(), f"*.{host.lower().partition('.')[2]}"}.isdisjoint(self.names)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Hold the TLS configuration of a coordinator."""

    pair: CertificatePair
    #: Authority that must have signed client certificates. None: clients need no certificate.
    client_ca: bytes | None


@dataclass(frozen=True, slots=True)
class WorkerTls:
    """Hold the TLS files and the join token of a worker."""

    #: Authority that has signed the coordinators' certificates. None: no TLS.
    ca: bytes | None = None
    #: The worker's own certificate, for coordinators that require one.
    pair: CertificatePair | None = None
    token: str = field(default="", repr=False)


def read_server_tls(environ: Mapping[str, str]) -> ServerTls | None:
    """Return the TLS configuration of a coordinator, or None. Raises ConfigurationError."""
    pair = _pair(environ)
    client_certificates = environ.get(_CLIENT_CERTS, "")
    if client_certificates not in ("", "required"):
        raise ConfigurationError(
            f"{_CLIENT_CERTS} is {client_certificates!r}; set it to 'required', or unset it."
        )
    if not client_certificates:
        return None if pair is None else ServerTls(pair, None)
    if pair is None:
        raise ConfigurationError(f"{_CLIENT_CERTS} requires {_CERT} and {_KEY}.")
    if not environ.get(_CA):
        raise ConfigurationError(
            f"{_CLIENT_CERTS} requires {_CA}: the authority that signs the workers' certificates."
        )
    return ServerTls(pair, _authority(environ[_CA]))


def read_worker_tls(environ: Mapping[str, str]) -> WorkerTls:
    """Return the TLS files and the join token of a worker. Raises ConfigurationError."""
    token = environ.get(_TOKEN, "")
    if token and not _TOKEN_TEXT.fullmatch(token):
        raise ConfigurationError(
            f"{_TOKEN} is not a valid join token: it must be 1 to 200 printable characters without "
            "spaces."
        )
    pair = _pair(environ)
    if not environ.get(_CA):
        if pair is not None:
            raise ConfigurationError(
                f"{_CERT} is set but {_CA} is not; a worker verifies its coordinator with it."
            )
        return WorkerTls(token=token)
    if not token:
        raise ConfigurationError(
            f"{_CA} is set but {_TOKEN} is not: coordinators with TLS require a join token; create "
            "one with `manage.py taskmaster join-token`."
        )
    return WorkerTls(_authority(environ[_CA]), pair, token)


def _pair(environ: Mapping[str, str]) -> CertificatePair | None:
    given = [name for name in (_CERT, _KEY) if environ.get(name)]
    if not given:
        return None
    if len(given) == 1:
        raise ConfigurationError(f"Only {given[0]} is set; set both {_CERT} and {_KEY}.")
    # Imported here because the import is slow and processes without TLS do not need it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain, key = _read(_CERT, environ[_CERT]), _read(_KEY, environ[_KEY])
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ConfigurationError(
            f"{_CERT}: {_shown(environ[_CERT])} contains no certificate in PEM format."
        ) from None
    try:
        matching = load_pem_private_key(key, None).public_key() == certificate.public_key()
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{_KEY}: {_shown(environ[_KEY])} contains no key in PEM format without a password."
        ) from None
    if not matching:
        raise ConfigurationError(
            f"{_KEY}: {_shown(environ[_KEY])} is not the key of the certificate "
            f"{_shown(environ[_CERT])}."
        )
    expires_at = certificate.not_valid_after_utc
    if expires_at <= datetime.now(UTC):
        raise ConfigurationError(
            f"{_CERT}: {_shown(environ[_CERT])} expired at {expires_at:%Y-%m-%d %H:%M} UTC; "
            "create a new one with `manage.py taskmaster certs`."
        )
    return CertificatePair(chain, key, expires_at, _names(certificate))


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
        raise ConfigurationError(
            f"{_CA}: {_shown(path)} contains no certificate in PEM format."
        ) from None
    return content


def variables(pair: CertificatePair | None) -> dict[str, str]:
    """Return the variables that pass a certificate and its key on, without their files."""
    return {} if pair is None else {_CERT: pair.chain.decode(), _KEY: pair.key.decode()}


def _shown(given: str) -> str:
    """Return the path of a file. The text of a key must not get into messages."""
    return "the given text" if given.startswith(_PEM) else given


def _read(variable: str, path: str) -> bytes:
    if path.startswith(_PEM):
        return path.encode()
    inherited = _DESCRIPTOR.fullmatch(path)
    try:
        if inherited is not None:
            # Opening the path would check the rights to the file again.
            with os.fdopen(int(inherited[1]), "rb") as file:
                return file.read()
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}.") from None
