"""Create a private certificate authority and sign certificates for coordinators and workers."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskmaster.tasks.errors import ConfigurationError, InvalidField

_CA_DAYS = 3_650
DAYS_MAX = 3_650
#: Clocks differ between hosts. A new certificate must be valid on all of them.
_BACKDATED = timedelta(hours=1)
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
#: Every coordinator's certificate is also valid for workers on its own host.
_LOCAL = ("localhost", "127.0.0.1", "::1")
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """Hold the paths of the files and the end of their validity."""

    ca: Path
    coordinator: Path
    coordinator_key: Path
    worker: Path
    worker_key: Path
    expires_at: datetime
    #: True: the authority existed before. Processes that trust it then trust the new files.
    renewed: bool


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write(folder: Path, hosts: Sequence[str], *, days: int) -> WrittenFiles:
    """Create certificates that are valid for `days` days in a folder.

    If the folder is new, only its owner can access it. The authority is created once and kept.
    Another call signs new certificates with it. `hosts` are the names and addresses by which
    workers reach the coordinators. Raises InvalidField for an invalid host or number of days,
    ConfigurationError when the folder cannot be used.
    """
    names = _names(hosts)
    if not 1 <= days <= DAYS_MAX:
        raise InvalidField("--days", f"is {days}; it must be from 1 to {DAYS_MAX:,}.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        renewed = _has_authority(folder)
        authority = _load_authority(folder) if renewed else _create_authority(folder)
        expires_at = min(
            datetime.now(UTC) + timedelta(days=days), authority.certificate.not_valid_after_utc
        )
        # A coordinator's certificate is valid for clients, too, because workers on its own host use
        # the same environment.
        _sign(folder, "coordinator", authority, expires_at, names, (_SERVER, _CLIENT))
        _sign(folder, "worker", authority, expires_at, (), (_CLIENT,))
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}.") from None
    return WrittenFiles(
        ca=folder / "ca.pem",
        coordinator=folder / "coordinator.pem",
        coordinator_key=folder / "coordinator-key.pem",
        worker=folder / "worker.pem",
        worker_key=folder / "worker-key.pem",
        expires_at=expires_at,
        renewed=renewed,
    )


def _names(hosts: Sequence[str]) -> tuple[x509.GeneralName, ...]:
    if not hosts:
        raise InvalidField(
            "--host", "is required: give a host name or an IP address of the coordinators."
        )
    return tuple(_general_name(host) for host in dict.fromkeys([*hosts, *_LOCAL]))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise InvalidField("--host", f"{host!r} is not a valid host name or IP address.")
    return x509.DNSName(host)


def _has_authority(folder: Path) -> bool:
    there = [name for name in ("ca.pem", "ca-key.pem") if (folder / name).exists()]
    if len(there) == 1:
        raise ConfigurationError(
            f"{folder} contains only {there[0]}; restore the other of ca.pem and ca-key.pem, or "
            "use another folder."
        )
    return bool(there)


def _create_authority(folder: Path) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # The random part distinguishes authorities with the same name.
    name = _name(f"TaskMaster CA {secrets.token_hex(4)}")
    now = datetime.now(UTC)
    certificate = (
        _builder(name, name, key, now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    _write(folder / "ca-key.pem", _pem(key), 0o600)
    return _Authority(certificate, key)


def _load_authority(folder: Path) -> _Authority:
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise ConfigurationError(
            f"ca.pem and ca-key.pem in {folder} are not an authority of TaskMaster; use another "
            "folder."
        )
    return _Authority(certificate, key)


def _sign(
    folder: Path,
    role: str,
    authority: _Authority,
    expires_at: datetime,
    names: Sequence[x509.GeneralName],
    purposes: Sequence[x509.ObjectIdentifier],
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    builder = (
        _builder(_name(f"TaskMaster {role}"), issuer.subject, key, expires_at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    _write(folder / f"{role}.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    _write(folder / f"{role}-key.pem", _pem(key), 0o600)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, expires_at: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _BACKDATED)
        .not_valid_after(expires_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, mode: int) -> None:
    """Replace a file atomically. A process that reads it gets the old or the new content."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
    part.replace(file)
