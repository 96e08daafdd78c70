"""Test the compose file: Compose can read it, and its time-outs fit the drain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.postgres_plugin import ROOT

FILE = ROOT / "deploy" / "compose.yaml"
_SECRETS = {"POSTGRES_PASSWORD": "a1b2", "TASKMASTER_SECRET_KEY": "k" * 48}
_OURS = ("web", "coordinator-1", "coordinator-2", "migrate", "certificates", "workers")


def command() -> list[str] | None:
    """Return the command of Compose, if it is installed."""
    if shutil.which("docker"):
        plugin = ["docker", "compose"]
        if not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
            return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    compose = command()
    if compose is None:
        pytest.skip(
            "compose.yaml was NOT tested with Compose; on Debian: apt-get install docker-compose"
        )
    return subprocess.run(
        [*compose, "--file", str(FILE), "config"],
        env={"PATH": os.environ["PATH"], "HOME": "/", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def read() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    done = config(**_SECRETS, TASKMASTER_POOL_OPTIONS="--queues 'a,b'")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def test_compose_reads_the_file_and_pool_options_reach_the_workers(
    resolved: dict[str, Any],
) -> None:
    assert set(_OURS) < set(resolved)
    command_line = resolved["workers"]["command"]
    assert (
        (command_line if isinstance(command_line, str) else " ".join(command_line))
        .replace("'", "")
        .endswith("runworker --queues a,b")
    )


@pytest.mark.parametrize("missing", sorted(_SECRETS))
def test_the_error_names_a_missing_secret(missing: str) -> None:
    done = config(**{name: value for name, value in _SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_the_stop_grace_period_of_a_worker_is_longer_than_its_drain(
    resolved: dict[str, Any],
) -> None:
    worker = resolved["workers"]
    drain_s = float(worker["environment"]["TASKMASTER_SHUTDOWN_GRACE_S"])
    parts = dict(re.findall(r"(\d+)([hms])", worker["stop_grace_period"]))
    units = {"h": 3_600, "m": 60, "s": 1}
    grace_s = sum(int(number) * units[unit] for number, unit in parts.items())
    assert grace_s > drain_s + 30


def test_workers_reach_no_database_and_have_no_secret_of_the_site() -> None:
    services = read()["services"]
    assert services["workers"]["networks"] == ["work"]
    assert services["postgres"]["networks"] == ["data"]
    given = set(services["workers"]["environment"])
    assert given.isdisjoint(
        {"TASKMASTER_SECRET_KEY", "DATABASE_URL", "TASKMASTER_DATABASE_DIRECT_URL"}
    )
    assert services["workers"]["volumes"] == ["authority:/authority:ro"]


def test_no_process_beside_the_worker_gets_the_join_token() -> None:
    worker = read()["services"]["workers"]
    assert "TASKMASTER_JOIN_TOKEN" in worker["environment"]
    assert "init" not in worker
    assert worker["healthcheck"] == {"disable": True}


def test_every_service_drops_capabilities_and_publishes_only_on_loopback(
    resolved: dict[str, Any],
) -> None:
    for name in _OURS:
        assert resolved[name]["cap_drop"] == ["ALL"], name
        assert resolved[name]["security_opt"] == ["no-new-privileges:true"], name
    published = [each for each in read()["services"].values() if "ports" in each]
    assert all(port.startswith("127.0.0.1:") for each in published for port in each["ports"])
