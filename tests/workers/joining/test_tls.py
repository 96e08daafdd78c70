"""What the environment says of TLS and the join token: taken when it fits together, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tasks.conf import Settings
from tasks.errors import ConfigurationError
from tests.workers.joining.expired import expire
from workers.daemon.options import parse
from workers.joining import certificates
from workers.joining.addresses import found_under, joined, usable
from workers.joining.tls import of_coordinator, of_worker

CERT, KEY, CA = "TASKMASTER_TLS_CERT", "TASKMASTER_TLS_KEY", "TASKMASTER_TLS_CA"
CLIENTS, TOKEN = "TASKMASTER_TLS_CLIENT_CERTS", "TASKMASTER_JOIN_TOKEN"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    certificates.write(folder, ["localhost"], days=30)
    expire(folder, "coordinator")
    (folder / "empty.pem").touch()
    return folder


def at(folder: Path, given: dict[str, str]) -> dict[str, str]:
    """The environment, with the names of files as paths."""
    return {
        name: str(folder / value) if value.endswith(".pem") else value
        for name, value in given.items()
    }


def test_a_coordinator_has_none_or_tls_or_mutual_tls(certs: Path) -> None:
    own = {CERT: "coordinator.pem", KEY: "coordinator-key.pem"}
    assert of_coordinator({}) is None
    assert of_coordinator({CA: "whatever"}) is None
    plain = of_coordinator(at(certs, own | {CA: "ca.pem"}))
    assert plain is not None
    assert plain.client_ca is None
    mutual = of_coordinator(at(certs, own | {CA: "ca.pem", CLIENTS: "required"}))
    assert mutual is not None
    assert mutual.client_ca == (certs / "ca.pem").read_bytes()
    assert "PRIVATE" not in repr(mutual)


def test_a_certificate_covers_what_it_names(tmp_path: Path) -> None:
    hosts = ["Grpc.example.org", "10.0.0.5", "fd00::1"]
    certificates.write(tmp_path, hosts, days=1)
    tls = of_coordinator(at(tmp_path, OWN))
    assert tls is not None
    for host in (*hosts, "grpc.example.org", "localhost", "127.0.0.1", "::1"):
        assert tls.pair.covers(host), host
    for host in ("example.org", "a.grpc.example.org", "10.0.0.6", "vm", ""):
        assert not tls.pair.covers(host), host
    wild = dataclasses.replace(tls.pair, names=frozenset({"*.example.org"}))
    assert wild.covers("a.example.org")
    assert not wild.covers("a.b.example.org")
    assert not wild.covers("example.org")


def test_a_worker_has_none_or_tls_with_a_token(certs: Path) -> None:
    assert of_worker({}).ca is None
    assert of_worker({TOKEN: "t"}).token == "t"
    access = of_worker(at(certs, {CA: "ca.pem", TOKEN: "tmjoin_secret"}))
    assert access.ca == (certs / "ca.pem").read_bytes()
    assert "secret" not in repr(access)
    own = {CA: "ca.pem", TOKEN: "t", CERT: "worker.pem", KEY: "worker-key.pem"}
    assert of_worker(at(certs, own)).pair is not None


OWN = {CERT: "coordinator.pem", KEY: "coordinator-key.pem"}
BAD_PAIR = [
    ({CERT: "coordinator.pem"}, f"{CERT} is set alone; {CERT} and {KEY} go together."),
    ({KEY: "coordinator-key.pem"}, f"{KEY} is set alone"),
    (OWN | {CERT: "none.pem"}, f"{CERT}: DIR/none.pem cannot be read: No such file"),
    (OWN | {CERT: "empty.pem"}, f"{CERT}: DIR/empty.pem holds no certificate in PEM."),
    (OWN | {KEY: "coordinator.pem"}, f"{KEY}: DIR/coordinator.pem holds no key in PEM"),
    (OWN | {KEY: "worker-key.pem"}, f"{KEY}: DIR/worker-key.pem is not the key of the"),
    (
        OWN | {CERT: "coordinator-expired.pem"},
        f"{CERT}: DIR/coordinator-expired.pem expired at 2021-01-01 00:00 UTC",
    ),
]
BAD_COORDINATOR = [
    ({CLIENTS: "required"}, f"{CLIENTS} needs {CERT} and {KEY}."),
    (OWN | {CLIENTS: "required"}, f"{CLIENTS} needs {CA}"),
    (OWN | {CLIENTS: "yes", CA: "ca.pem"}, f"{CLIENTS} is 'yes'; it must be 'required'"),
    (OWN | {CLIENTS: "required", CA: "empty.pem"}, f"{CA}: DIR/empty.pem holds no certificate"),
]
BAD_WORKER = [
    (OWN, f"{CERT} is set, and {CA} is not"),
    ({CA: "ca.pem"}, f"{CA} is set, and {TOKEN} is not"),
    ({CA: "none.pem", TOKEN: "t"}, f"{CA}: DIR/none.pem cannot be read"),
    ({TOKEN: "a b"}, f"{TOKEN} is no join token"),
    ({TOKEN: "x" * 201}, f"{TOKEN} is no join token"),
]


@pytest.mark.parametrize(
    ("read", "given", "rule"),
    [
        *((of_coordinator, *each) for each in BAD_PAIR + BAD_COORDINATOR),
        *((of_worker, *each) for each in BAD_PAIR + BAD_WORKER),
    ],
)
def test_what_does_not_fit_together_is_named(
    certs: Path, read: object, given: dict[str, str], rule: str
) -> None:
    assert callable(read)
    with pytest.raises(ConfigurationError) as caught:
        read(at(certs, given))
    assert str(caught.value).startswith(rule.replace("DIR", str(certs)))


def test_a_token_is_not_sent_beyond_loopback_in_plain_text(certs: Path) -> None:
    far, near = ("--coordinator", "10.0.0.7:50051"), ("--coordinator", "[::1]:50051")
    with pytest.raises(ConfigurationError, match="a join token would travel in plain text"):
        parse(far, {TOKEN: "t"}, Settings())
    assert parse(near, {TOKEN: "t"}, Settings()).access.token == "t"
    environ = at(certs, {TOKEN: "t", CA: "ca.pem"})
    assert parse(far, environ, Settings()).coordinators == ("10.0.0.7:50051",)


def test_a_worker_learns_of_coordinators_that_it_can_reach_safely() -> None:
    told = ["127.0.0.1:1", "10.0.0.7:2"]
    assert usable(told, ["127.0.0.1:9"], tls=False) == ["127.0.0.1:1"]
    assert usable(told, ["127.0.0.1:9"], tls=True) == told
    assert usable(told, ["10.0.0.8:9"], tls=True) == ["10.0.0.7:2"]


def test_addresses_are_written_as_grpc_reads_them() -> None:
    assert joined("10.0.0.7", 1) == "10.0.0.7:1"
    assert joined("::1", 1) == "[::1]:1"
    assert found_under("10.0.0.7") == "10.0.0.7"
    assert found_under("0.0.0.0") == found_under("::") != "0.0.0.0"
