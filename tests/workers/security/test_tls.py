"""Test the environment variables for TLS and the join token: consistent or refused."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.daemon.options import parse
from taskmaster.workers.security import certificates
from taskmaster.workers.security.addresses import filter_usable, join_host_port, reachable_host
from taskmaster.workers.security.tls import read_server_tls, read_worker_tls, variables
from tests.workers.security.expired import expire

CERT, KEY, CA = "TASKMASTER_TLS_CERT", "TASKMASTER_TLS_KEY", "TASKMASTER_TLS_CA"
CLIENTS, TOKEN = "TASKMASTER_TLS_CLIENT_CERTS", "TASKMASTER_JOIN_TOKEN"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    certificates.write(folder, ["localhost"], days=30)
    expire(folder, "coordinator")
    (folder / "empty.pem").touch()
    return folder


def in_folder(folder: Path, given: dict[str, str]) -> dict[str, str]:
    """Return the environment, with file names as paths."""
    return {
        name: str(folder / value) if value.endswith(".pem") else value
        for name, value in given.items()
    }


def test_a_coordinator_has_no_tls_tls_or_mutual_tls(certs: Path) -> None:
    own = {CERT: "coordinator.pem", KEY: "coordinator-key.pem"}
    assert read_server_tls({}) is None
    assert read_server_tls({CA: "whatever"}) is None
    plain = read_server_tls(in_folder(certs, own | {CA: "ca.pem"}))
    assert plain is not None
    assert plain.client_ca is None
    mutual = read_server_tls(in_folder(certs, own | {CA: "ca.pem", CLIENTS: "required"}))
    assert mutual is not None
    assert mutual.client_ca == (certs / "ca.pem").read_bytes()
    assert "PRIVATE" not in repr(mutual)


def test_a_certificate_covers_its_names(tmp_path: Path) -> None:
    hosts = ["Grpc.example.org", "10.0.0.5", "fd00::1"]
    certificates.write(tmp_path, hosts, days=1)
    tls = read_server_tls(in_folder(tmp_path, OWN))
    assert tls is not None
    for host in (*hosts, "grpc.example.org", "localhost", "127.0.0.1", "::1"):
        assert tls.pair.covers(host), host
    for host in ("example.org", "a.grpc.example.org", "10.0.0.6", "vm", ""):
        assert not tls.pair.covers(host), host
    wild = dataclasses.replace(tls.pair, names=frozenset({"*.example.org"}))
    assert wild.covers("a.example.org")
    assert not wild.covers("a.b.example.org")
    assert not wild.covers("example.org")


def test_a_worker_has_no_tls_or_tls_with_a_token(certs: Path) -> None:
    assert read_worker_tls({}).ca is None
    assert read_worker_tls({TOKEN: "t"}).token == "t"
    access = read_worker_tls(in_folder(certs, {CA: "ca.pem", TOKEN: "tmjoin_secret"}))
    assert access.ca == (certs / "ca.pem").read_bytes()
    assert "secret" not in repr(access)
    own = {CA: "ca.pem", TOKEN: "t", CERT: "worker.pem", KEY: "worker-key.pem"}
    assert read_worker_tls(in_folder(certs, own)).pair is not None


OWN = {CERT: "coordinator.pem", KEY: "coordinator-key.pem"}
BAD_PAIR = [
    ({CERT: "coordinator.pem"}, f"Only {CERT} is set; set both {CERT} and {KEY}."),
    ({KEY: "coordinator-key.pem"}, f"Only {KEY} is set"),
    (OWN | {CERT: "none.pem"}, f"{CERT}: DIR/none.pem cannot be read: No such file"),
    (OWN | {CERT: "empty.pem"}, f"{CERT}: DIR/empty.pem contains no certificate in PEM format."),
    (OWN | {KEY: "coordinator.pem"}, f"{KEY}: DIR/coordinator.pem contains no key in PEM"),
    (OWN | {KEY: "worker-key.pem"}, f"{KEY}: DIR/worker-key.pem is not the key of the"),
    (
        OWN | {CERT: "coordinator-expired.pem"},
        f"{CERT}: DIR/coordinator-expired.pem expired at 2021-01-01 00:00 UTC",
    ),
]
BAD_COORDINATOR = [
    ({CLIENTS: "required"}, f"{CLIENTS} requires {CERT} and {KEY}."),
    (OWN | {CLIENTS: "required"}, f"{CLIENTS} requires {CA}"),
    (OWN | {CLIENTS: "yes", CA: "ca.pem"}, f"{CLIENTS} is 'yes'; set it to 'required'"),
    (OWN | {CLIENTS: "required", CA: "empty.pem"}, f"{CA}: DIR/empty.pem contains no certificate"),
]
BAD_WORKER = [
    (OWN, f"{CERT} is set but {CA} is not"),
    ({CA: "ca.pem"}, f"{CA} is set but {TOKEN} is not"),
    ({CA: "none.pem", TOKEN: "t"}, f"{CA}: DIR/none.pem cannot be read"),
    ({TOKEN: "a b"}, f"{TOKEN} is not a valid join token"),
    ({TOKEN: "x" * 201}, f"{TOKEN} is not a valid join token"),
]


@pytest.mark.parametrize(
    ("read", "given", "rule"),
    [
        *((read_server_tls, *each) for each in BAD_PAIR + BAD_COORDINATOR),
        *((read_worker_tls, *each) for each in BAD_PAIR + BAD_WORKER),
    ],
)
def test_inconsistent_settings_are_named(
    certs: Path, read: object, given: dict[str, str], rule: str
) -> None:
    assert callable(read)
    with pytest.raises(ConfigurationError) as caught:
        read(in_folder(certs, given))
    assert str(caught.value).startswith(rule.replace("DIR", str(certs)))


def test_a_token_is_sent_in_plain_text_only_on_loopback(certs: Path) -> None:
    far, near = ("--coordinator", "10.0.0.7:50051"), ("--coordinator", "[::1]:50051")
    with pytest.raises(ConfigurationError, match="would be sent in plain text"):
        parse(far, {TOKEN: "t"}, Settings())
    assert parse(near, {TOKEN: "t"}, Settings()).access.token == "t"
    environ = in_folder(certs, {TOKEN: "t", CA: "ca.pem"})
    assert parse(far, environ, Settings()).coordinators == ("10.0.0.7:50051",)


def test_a_worker_accepts_only_addresses_that_it_can_reach_safely() -> None:
    received = ["127.0.0.1:1", "10.0.0.7:2"]
    assert filter_usable(received, ["127.0.0.1:9"], tls=False) == ["127.0.0.1:1"]
    assert filter_usable(received, ["127.0.0.1:9"], tls=True) == received
    assert filter_usable(received, ["10.0.0.8:9"], tls=True) == ["10.0.0.7:2"]


def test_addresses_have_the_format_of_grpc() -> None:
    assert join_host_port("10.0.0.7", 1) == "10.0.0.7:1"
    assert join_host_port("::1", 1) == "[::1]:1"
    assert reachable_host("10.0.0.7") == "10.0.0.7"
    assert reachable_host("0.0.0.0") == reachable_host("::") != "0.0.0.0"


def test_a_pair_is_passed_on_as_text_without_its_files(certs: Path) -> None:
    read = read_server_tls(in_folder(certs, OWN))
    assert read is not None
    passed_on = variables(read.pair)
    assert passed_on[KEY] == (certs / "coordinator-key.pem").read_text()
    assert read_server_tls(passed_on) == read


def test_a_key_is_read_once_from_an_inherited_descriptor(certs: Path) -> None:
    key = os.open(certs / "coordinator-key.pem", os.O_RDONLY)
    tls = read_server_tls({CERT: str(certs / "coordinator.pem"), KEY: f"/dev/fd/{key}"})
    assert tls is not None
    assert tls.pair.key == (certs / "coordinator-key.pem").read_bytes()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(key)


def test_no_message_contains_the_text_of_a_key(certs: Path) -> None:
    other = (certs / "worker-key.pem").read_text()
    for key in (other, other.replace("\n", "x")):
        with pytest.raises(ConfigurationError, match=KEY) as caught:
            read_server_tls({CERT: str(certs / "coordinator.pem"), KEY: key})
        assert "the given text" in str(caught.value)
        assert "BEGIN" not in str(caught.value)
