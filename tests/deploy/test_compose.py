"""The compose file: read by Compose itself, and in agreement with the drain."""

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
    """Compose, if it is installed."""
    if shutil.which("docker"):
        plugin = ["docker", "compose"]
        if not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
            return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    compose = command()
    if compose is None:
        pytest.skip(
            "compose.yaml was NOT read by Compose; on Debian: apt-get install docker-compose"
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


def test_compose_reads_it_and_the_options_of_a_pool_reach_its_workers(
    resolved: dict[str, Any],
) -> None:
    assert set(_OURS) < set(resolved)
    said = resolved["workers"]["command"]
    assert (
        (said if isinstance(said, str) else " ".join(said))
        .replace("'", "")
        .endswith("runworker --queues a,b")
    )


@pytest.mark.parametrize("missing", sorted(_SECRETS))
def test_a_secret_that_is_not_set_is_named(missing: str) -> None:
    done = config(**{name: value for name, value in _SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_a_worker_is_given_the_time_that_its_drain_takes(resolved: dict[str, Any]) -> None:
    worker = resolved["workers"]
    drain_s = float(worker["environment"]["TASKMASTER_SHUTDOWN_GRACE_S"])
    parts = dict(re.findall(r"(\d+)([hms])", worker["stop_grace_period"]))
    units = {"h": 3_600, "m": 60, "s": 1}
    grace_s = sum(int(number) * units[unit] for number, unit in parts.items())
    assert grace_s > drain_s + 30


def test_what_runs_user_code_reaches_no_database_and_knows_no_secret_of_the_site() -> None:
    services = read()["services"]
    assert services["workers"]["networks"] == ["work"]
    assert services["postgres"]["networks"] == ["data"]
    given = set(services["workers"]["environment"])
    assert given.isdisjoint({"TASKMASTER_SECRET_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL"})
    assert services["workers"]["volumes"] == ["authority:/authority:ro"]


def test_every_service_of_ours_is_stripped_of_rights_and_published_on_loopback_alone(
    resolved: dict[str, Any],
) -> None:
    for name in _OURS:
        assert resolved[name]["cap_drop"] == ["ALL"], name
        assert resolved[name]["security_opt"] == ["no-new-privileges:true"], name
    published = [each for each in read()["services"].values() if "ports" in each]
    assert all(port.startswith("127.0.0.1:") for each in published for port in each["ports"])
