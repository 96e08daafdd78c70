"""Test the private authority: created once, private keys readable by their owner only."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from taskmaster.tasks.errors import ConfigurationError, InvalidField
from taskmaster.workers.security import certificates


def handshake_error(folder: Path, name: str, ca: Path, client: str | None = "worker") -> str:
    """Do a mutual handshake with the coordinator's certificate; return its error or ""."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "coordinator.pem", folder / "coordinator-key.pem")
    visitor = ssl.create_default_context(cafile=ca)
    if client:
        visitor.load_cert_chain(folder / f"{client}.pem", folder / f"{client}-key.pem")
    here, there = socket.socketpair()
    errors: list[str] = []

    def serve() -> None:
        try:
            with server.wrap_socket(there, server_side=True) as wrapped:
                wrapped.sendall(b"x")
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with visitor.wrap_socket(here, server_hostname=name) as wrapped:
            wrapped.recv(1)
    except OSError as error:
        errors.append(str(error))
    thread.join(5)
    return "; ".join(errors)


def test_certificates_cover_every_host_and_loopback(tmp_path: Path) -> None:
    made = certificates.write(tmp_path, ["grpc.example.org", "10.0.0.5", "fd00::1"], days=30)
    for name in ("grpc.example.org", "10.0.0.5", "fd00::1", "localhost", "127.0.0.1"):
        assert handshake_error(tmp_path, name, made.ca) == ""
    assert handshake_error(tmp_path, "localhost", made.ca, client="coordinator") == ""
    assert "mismatch" in handshake_error(tmp_path, "evil.example.org", made.ca)
    assert "CERTIFICATE" in handshake_error(tmp_path, "localhost", made.ca, client=None).upper()
    other = certificates.write(tmp_path / "other", ["localhost"], days=30)
    assert "verify failed" in handshake_error(tmp_path, "localhost", other.ca)


def test_only_the_owner_can_read_keys_and_the_authority_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    first = certificates.write(folder, ["a"], days=30)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.glob("*-key.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(list(folder.iterdir())) == 6
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    second = certificates.write(folder, ["b"], days=60)
    assert (first.renewed, second.renewed) == (False, True)
    changed = {file.name for file in folder.iterdir() if file.read_bytes() != before[file.name]}
    assert changed == {"coordinator.pem", "coordinator-key.pem", "worker.pem", "worker-key.pem"}
    assert (second.expires_at - first.expires_at).days == 30
    assert handshake_error(folder, "b", second.ca) == ""


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    made = certificates.write(tmp_path, ["a"], days=3_650)
    again = certificates.write(tmp_path, ["a"], days=3_650)
    assert again.expires_at <= made.expires_at


def test_invalid_input_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    for hosts, days, rule in (
        ([], 30, "--host: is required"),
        (["no spaces"], 30, "--host: 'no spaces' is not a valid host name or IP address."),
        (["-a"], 30, "--host: '-a' is not a valid host name"),
        (["a..b"], 30, "--host: 'a..b' is not a valid host name"),
        (["a"], 0, "--days: is 0; it must be from 1"),
        (["a"], 3_651, "--days: is 3651; it must be from 1"),
    ):
        with pytest.raises(InvalidField) as caught:
            certificates.write(folder, hosts, days=days)
        assert str(caught.value).startswith(rule)
    assert not folder.exists()


def test_a_folder_without_the_whole_authority_is_left_alone(tmp_path: Path) -> None:
    certificates.write(tmp_path, ["a"], days=30)
    key = (tmp_path / "ca-key.pem").rename(tmp_path / "away.pem")
    trusted = (tmp_path / "ca.pem").read_bytes()
    with pytest.raises(ConfigurationError, match=r"contains only ca.pem; restore the other"):
        certificates.write(tmp_path, ["a"], days=30)
    key.with_name("ca-key.pem").write_text("nonsense")
    with pytest.raises(ConfigurationError, match="are not an authority of TaskMaster"):
        certificates.write(tmp_path, ["a"], days=30)
    assert (tmp_path / "ca.pem").read_bytes() == trusted
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written: "):
        certificates.write(tmp_path / "file", ["a"], days=30)
