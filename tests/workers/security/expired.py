"""Create an expired certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key


def expire(folder: Path, role: str) -> Path:
    """Return the role's certificate with the same key, signed by the same authority for the year
    2020.
    """
    live = x509.load_pem_x509_certificate((folder / f"{role}.pem").read_bytes())
    authority = load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        issuer_name=live.issuer,
        subject_name=live.subject,
        public_key=live.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2021, 1, 1, tzinfo=UTC),
        extensions=list(live.extensions),
    )
    file = folder / f"{role}-expired.pem"
    file.write_bytes(builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    return file
