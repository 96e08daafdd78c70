"""Test the provider `kubernetes` on the cluster of KUBECONFIG.

It runs as a service account with the manifests' rights, in a namespace that is created for it and
deleted afterwards. It needs kubectl, the right to create namespaces, and an image with a shell that
the cluster can pull (TASKMASTER_TEST_K8S_IMAGE, default busybox:1.36).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from taskmaster.workers.pools.provider import DesiredPool
from taskmaster.workers.pools.providers.kubernetes import KubernetesProvider
from tests.postgres_plugin import ROOT
from tests.workers.pools.contract import Bench, Contract

POOL = "workers"
_IMAGE = os.environ.get("TASKMASTER_TEST_K8S_IMAGE", "busybox:1.36")
_LABEL = {"app.kubernetes.io/name": POOL}
_WORKER = """\
trap 'leaving=1' TERM
echo READY
while :; do
  [ -n "$leaving" ] && [ -e /tmp/go ] && exit 0
  [ -z "$leaving" ] && [ -e /tmp/crash ] && echo it is over && exit 3
  sleep 0.1
done
"""


class Namespace:
    def __init__(self) -> None:
        self.name = f"taskmaster-test-{uuid4().hex[:8]}"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["kubectl", "--namespace", self.name, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, document: dict[str, Any]) -> None:
        self.kubectl("apply", "--filename", "-", given=json.dumps(document))

    def config(self, folder: Path) -> Path:
        """Write a kubeconfig of the manifests' service account for this namespace."""
        config = yaml.safe_load(self.kubectl("config", "view", "--minify", "--raw"))
        token = self.kubectl("create", "token", "coordinator").strip()
        config["users"] = [{"name": "coordinator", "user": {"token": token}}]
        config["contexts"][0]["context"] |= {"namespace": self.name, "user": "coordinator"}
        path = folder / "config"
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    if not os.environ.get("KUBECONFIG") or shutil.which("kubectl") is None:
        pytest.skip("KUBECONFIG and kubectl are needed: NOT tested on a cluster")
    namespace = Namespace()
    namespace.kubectl("create", "namespace", namespace.name)
    try:
        text = (ROOT / "deploy/kubernetes/base/access.yaml").read_text()
        for document in yaml.safe_load_all(text):
            for subject in document.get("subjects", ()):
                subject["namespace"] = namespace.name
            namespace.apply(document)
        yield namespace
    finally:
        namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")


class Cluster(Bench):
    deadline_s = 90.0

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace = namespace
        self.folder = folder
        container = {"name": "worker", "image": _IMAGE, "command": ["sh", "-c", _WORKER]}
        pod = {"terminationGracePeriodSeconds": 120, "containers": [container]}
        template = {"metadata": {"labels": _LABEL}, "spec": pod}
        spec = {"replicas": 0, "selector": {"matchLabels": _LABEL}, "template": template}
        meta = {"name": POOL}
        namespace.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
        )

    def provider(self) -> KubernetesProvider:
        return KubernetesProvider({"KUBECONFIG": str(self.namespace.config(self.folder))})

    def elsewhere(self) -> KubernetesProvider:
        return KubernetesProvider({"KUBECONFIG": str(self.folder / "nowhere")})

    def desired(self, count: int) -> DesiredPool:
        return DesiredPool(POOL, count, (), {}, stop_limit_s=120.0)

    def pods(self, *, leaving: bool) -> list[str]:
        found = json.loads(self.namespace.kubectl("get", "pods", "--output", "json"))["items"]
        metas = [each["metadata"] for each in found]
        return [each["name"] for each in metas if ("deletionTimestamp" in each) == leaving]

    async def touch(self, pods: list[str], path: str) -> None:
        for pod in pods:
            await asyncio.to_thread(self.namespace.kubectl, "exec", pod, "--", "touch", path)

    async def release(self) -> None:
        await self.touch(self.pods(leaving=True), "/tmp/go")

    async def crash(self) -> None:
        await self.touch(self.pods(leaving=False)[:1], "/tmp/crash")


@pytest.fixture
def bench(namespace: Namespace, tmp_path: Path) -> Iterator[Cluster]:
    yield Cluster(namespace, tmp_path)
    namespace.kubectl("delete", "deployment", POOL)
    namespace.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")


class TestContract(Contract):
    pass
