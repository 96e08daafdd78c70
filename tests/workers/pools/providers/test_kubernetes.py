"""Test the provider `kubernetes` with exactly the rights of the manifests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

from taskmaster.workers.pools.provider import (
    DeadWorker,
    DesiredPool,
    ProviderFailed,
    ProviderMissing,
)
from taskmaster.workers.pools.providers.cluster import connect
from taskmaster.workers.pools.providers.kubernetes import KubernetesProvider
from tests.postgres_plugin import ROOT
from tests.workers.pools.contract import Bench, Contract, runs
from tests.workers.pools.kubernetes_api import NAMESPACE, TOKEN, KubernetesApi

POOL = "workers"


def granted() -> list[dict[str, Any]]:
    """Return the rules of the Role that the manifests grant to coordinators."""
    text = (ROOT / "deploy/kubernetes/base/access.yaml").read_text()
    (role,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "Role"]
    return list(role["rules"])


class Fake(Bench):
    deadline_s = 5.0

    def __init__(self, api: KubernetesApi, folder: Path) -> None:
        self.api = api
        self.folder = folder

    def provider(self, **user: Any) -> KubernetesProvider:
        return KubernetesProvider({"KUBECONFIG": str(self.config(self.api.url, **user))})

    def elsewhere(self) -> KubernetesProvider:
        return KubernetesProvider({"KUBECONFIG": str(self.config("http://127.0.0.1:1"))})

    def config(self, url: str, **user: Any) -> Path:
        context = {"cluster": "c", "user": "u", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": user or {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": context}],
        }
        path = self.folder / f"{len(list(self.folder.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def desired(self, count: int) -> DesiredPool:
        return DesiredPool(POOL, count, ("--pool", POOL), {}, stop_limit_s=60.0)

    async def release(self) -> None:
        self.api.finish_deleted()

    async def crash(self) -> None:
        self.api.crash("it is over", 3, restarted=True)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Fake]:
    async with KubernetesApi(granted()) as api:
        api.replicas[POOL] = 0
        yield Fake(api, tmp_path)


@pytest.fixture
async def provider(bench: Fake) -> AsyncIterator[KubernetesProvider]:
    provider = bench.provider()
    yield provider
    await provider.close()


class TestContract(Contract):
    pass


async def test_each_crash_of_a_loop_is_reported_once(
    bench: Fake, provider: KubernetesProvider
) -> None:
    one = bench.desired(1)
    await provider.scale(one)
    await bench.until(provider, one, runs(1))
    bench.api.crash("it is over", 137, restarted=False)
    seen = await provider.observe(one)
    assert (seen.running, [each.exit_code for each in seen.died]) == (0, [-9])
    assert seen.died[0].last_log == "READY\nit is over"
    bench.api.start_again()
    assert (await provider.observe(one)).died == ()
    bench.api.crash("it is over again", 137, restarted=False)
    (death,) = (await provider.observe(one)).died
    assert death.last_log.endswith("again")


async def test_an_image_that_cannot_be_pulled_is_reported_once(
    bench: Fake, provider: KubernetesProvider
) -> None:
    message = 'Back-off pulling image "taskmaster:latest"'
    bench.api.first_state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    one = bench.desired(1)
    await provider.scale(one)
    (death,) = (await provider.observe(one)).died
    assert death == DeadWorker(None, death.last_log)
    assert message in death.last_log
    assert (await provider.observe(one)).died == ()


async def test_a_conflict_is_retried_and_reported_when_it_persists(
    bench: Fake, provider: KubernetesProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmaster.workers.pools.providers.kubernetes._CONFLICT_PAUSE_S", 0.001)
    bench.api.conflicts = 3
    await provider.scale(bench.desired(2))
    assert bench.api.replicas[POOL] == 2
    bench.api.conflicts = 100
    with pytest.raises(ProviderFailed, match="autoscaler"):
        await provider.scale(bench.desired(3))
    assert bench.api.replicas[POOL] == 2


async def test_a_hanging_cluster_times_out_and_works_again_afterwards(
    bench: Fake, provider: KubernetesProvider
) -> None:
    one = bench.desired(1)
    bench.api.answering.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await provider.scale(one)
    bench.api.answering.set()
    await provider.scale(one)
    await bench.until(provider, one, runs(1))


async def test_a_pool_without_a_deployment_is_refused_by_name(
    bench: Fake, provider: KubernetesProvider
) -> None:
    bench.api.rules = [
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}
    ]
    with pytest.raises(ProviderMissing, match=f"{NAMESPACE} has no Deployment 'other'"):
        await provider.check(DesiredPool("other", 1, (), {}, 60.0))


@pytest.mark.parametrize("verbs", [[], ["get"]])
async def test_missing_rights_are_refused_before_anything_changes(
    bench: Fake, provider: KubernetesProvider, verbs: list[str]
) -> None:
    scale = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": verbs}
    bench.api.rules = [scale]
    with pytest.raises(ProviderMissing, match=r"forbidden.*cannot .*access\.yaml"):
        await provider.check(bench.desired(4))
    assert bench.api.replicas[POOL] == 0


async def test_the_manifests_grant_only_the_rights_that_are_used(
    bench: Fake, provider: KubernetesProvider
) -> None:
    bench.api.replicas["web"] = 2
    with pytest.raises(ProviderMissing, match="forbidden"):
        await provider.scale(DesiredPool("web", 0, (), {}, 60.0))
    assert bench.api.replicas["web"] == 2


async def test_a_wrong_token_is_refused(bench: Fake) -> None:
    provider = bench.provider(token="wrong")
    with pytest.raises(ProviderMissing, match="Unauthorized"):
        await provider.check(bench.desired(1))
    await provider.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No cluster is configured"),
        ("{", "is not a valid cluster configuration"),
        ("", "cannot be used|is not a valid"),
        ("users: [{name: u}]", "cannot be used"),
    ],
)
async def test_an_invalid_configuration_is_refused_with_one_line(
    bench: Fake, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    provider = KubernetesProvider({"KUBECONFIG": str(path)})
    with pytest.raises(ProviderMissing, match=message) as caught:
        await provider.check(bench.desired(1))
    assert "\n" not in str(caught.value)


async def test_credentials_from_a_command_are_refused(bench: Fake) -> None:
    provider = bench.provider(exec={"apiVersion": "v1", "command": "true"})
    with pytest.raises(ProviderMissing, match="service account"):
        await provider.check(bench.desired(1))


async def test_a_pod_uses_its_own_cluster_namespace_and_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The location in a real pod.
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "namespace").write_text("shop\n")
    loader = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{loader}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{loader}.SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setattr(
        "taskmaster.workers.pools.providers.cluster._NAMESPACE", tmp_path / "namespace"
    )
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cluster = await connect(environment)
    configuration = cluster.client.configuration
    assert (cluster.namespace, configuration.host) == ("shop", "https://10.0.0.1:443")
    assert TOKEN in configuration.api_key["BearerToken"]
    await cluster.client.close()
