"""Test the provider `compose` on a real engine, with scripted workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from taskmaster.workers.pools.provider import DesiredPool, ProviderMissing
from taskmaster.workers.pools.providers.compose import ComposeProvider
from tests.docker import images
from tests.docker.engine import call
from tests.workers.pools.contract import Bench, Contract, runs

POOL = "workers"
_WORKER = """\
trap 'leaving=1' TERM
[ "$$DIES" = no ] || { echo cannot live; exit 3; }
echo "READY $$OPTIONS for $$STOP_S s, $$COLOUR"
while :; do
  [ -n "$$leaving" ] && [ -e /control/go ] && exit 0
  [ -z "$$leaving" ] && rm /control/crash 2>/dev/null && echo it is over && exit 3
  sleep 0.05
done
"""


class Engine(Bench):
    deadline_s = 30.0

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.control = folder / "control"
        self.control.mkdir()
        self.file = folder / "compose.yaml"
        service = {
            "image": images.TASKMASTER,
            "user": "0",
            "entrypoint": ["sh", "-c", _WORKER],
            "restart": "on-failure",
            "healthcheck": {"disable": True},
            "volumes": [f"{self.control}:/control"],
            "environment": {
                "OPTIONS": "${TASKMASTER_POOL_OPTIONS:-}",
                "STOP_S": "${TASKMASTER_POOL_STOP_S:-}",
                "COLOUR": "${COLOUR:-none}",
                "DIES": "${DIES:-no}",
            },
        }
        self.file.write_text(json.dumps({"services": {POOL: service, "web": service}}))
        self.environment = {
            **environment,
            "COMPOSE_FILE": str(self.file),
            "COMPOSE_PROJECT_NAME": f"taskmaster-{uuid4().hex[:8]}",
        }

    def provider(self) -> ComposeProvider:
        return ComposeProvider(self.environment)

    def elsewhere(self) -> ComposeProvider:
        return ComposeProvider({**self.environment, "DOCKER_HOST": "unix:///nowhere/docker.sock"})

    def desired(self, count: int, **environment: str) -> DesiredPool:
        return DesiredPool(POOL, count, ("--queues", "a,b"), environment, stop_limit_s=60.0)

    async def release(self) -> None:
        (self.control / "go").touch()

    async def crash(self) -> None:
        (self.control / "crash").touch()

    def docker(self, *arguments: str) -> str:
        return call(["docker", *arguments], self.environment)

    def of_project(self) -> list[str]:
        project = self.environment["COMPOSE_PROJECT_NAME"]
        label = f"--filter=label=com.docker.compose.project={project}"
        return self.docker("ps", "--all", "--quiet", label).split()


@pytest.fixture
async def bench(engine: dict[str, str], tmp_path: Path) -> AsyncIterator[Engine]:
    bench = Engine(engine, tmp_path)
    yield bench
    if left := bench.of_project():
        await asyncio.to_thread(bench.docker, "rm", "--force", *left)
    # If nothing was started, there is nothing to remove.
    with suppress(AssertionError):
        bench.docker("network", "rm", f"{bench.environment['COMPOSE_PROJECT_NAME']}_default")


class TestContract(Contract):
    pass


async def test_the_pool_s_options_limit_and_environment_reach_the_compose_file(
    bench: Engine,
) -> None:
    provider, one = bench.provider(), bench.desired(1, COLOUR="blue")
    await provider.scale(one)
    await bench.until(provider, one, runs(1))
    (container,) = bench.of_project()
    async with asyncio.timeout(10):
        while "READY --queues a,b for 60 s, blue" not in bench.docker("logs", container):
            await asyncio.sleep(0.05)


async def test_a_pool_without_a_service_is_refused_with_the_existing_names(
    bench: Engine,
) -> None:
    with pytest.raises(ProviderMissing, match=r"no service 'other'.*web, workers"):
        await bench.provider().check(DesiredPool("other", 1, (), {}, 60.0))


async def test_a_worker_that_exits_by_itself_is_not_a_crash_and_is_replaced(bench: Engine) -> None:
    provider, one = bench.provider(), bench.desired(1)
    await provider.scale(one)
    await bench.until(provider, one, runs(1))
    (container,) = bench.of_project()
    await bench.release()
    bench.docker("kill", "--signal", "TERM", container)
    assert await bench.until(provider, one, runs(0)) == ()
    await provider.scale(one)
    await bench.until(provider, one, runs(1))
    assert container not in bench.of_project()


async def test_a_crashing_worker_is_replaced_with_the_current_pool_settings(
    bench: Engine,
) -> None:
    provider, broken, mended = bench.provider(), bench.desired(1, DIES="yes"), bench.desired(1)
    await provider.scale(broken)
    async with asyncio.timeout(20):
        while not (died := (await provider.observe(broken)).died):
            await asyncio.sleep(0.05)
    assert died[0].last_log.endswith("cannot live")
    await provider.scale(mended)
    await bench.until(provider, mended, runs(1))


async def test_a_worker_that_exceeds_the_stop_limit_is_killed(
    bench: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmaster.workers.pools.providers.docker._KILL_S", 0)
    provider, none = bench.provider(), DesiredPool(POOL, 0, (), {}, stop_limit_s=1.0)
    await provider.scale(bench.desired(1))
    await bench.until(provider, bench.desired(1), runs(1))
    await provider.scale(none)
    await bench.until(provider, none, runs(0, 1))
    assert await bench.until(provider, none, runs(0)) == ()
