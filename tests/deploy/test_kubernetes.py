"""Test the manifests: valid by the API's schemas, consistent with each other and with the drain."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.postgres_plugin import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
#: Time for the worker to send its last reports and exit.
_MARGIN_S = 30


@cache
def documents() -> list[dict[str, Any]]:
    files = [path for path in FOLDER.glob("*/*.yaml") if path.name != "kustomization.yaml"]
    return [each for path in sorted(files) for each in yaml.safe_load_all(path.read_text())]


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] == kind}


def workloads() -> dict[str, dict[str, Any]]:
    return {
        name: each["spec"]["template"]
        for kind in ("Deployment", "StatefulSet", "Job")
        for name, each in of(kind).items()
    }


def environment(template: dict[str, Any]) -> dict[str, str]:
    container = template["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def model(document: dict[str, Any]) -> Any:
    """Build the official client's model of the document; unknown fields are errors."""
    version = document["apiVersion"].rpartition("/")[2]
    client = importlib.import_module("kubernetes.client")
    return getattr(client, f"{version.capitalize()}{document['kind']}")


def schema_errors(document: dict[str, Any]) -> list[str]:
    if document["apiVersion"].startswith("keda.sh/"):
        return []
    try:
        model(document).model_validate(document)
    except ValidationError as error:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return []


@pytest.mark.parametrize(
    "document", documents(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_a_manifest_is_valid_by_its_schema(document: dict[str, Any]) -> None:
    assert schema_errors(document) == []


def test_a_misspelt_or_mistyped_field_is_found() -> None:
    deployment = deepcopy(of("Deployment")["workers"])
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    deployment["spec"]["selector"] = "workers"
    assert len(schema_errors(deployment)) == 2


def test_the_grace_period_of_a_worker_is_longer_than_its_drain() -> None:
    template = workloads()["workers"]
    grace = float(environment(template)["TASKMASTER_SHUTDOWN_GRACE_S"])
    assert template["spec"]["terminationGracePeriodSeconds"] >= grace + _MARGIN_S


def test_no_pod_can_be_root_and_memory_is_limited() -> None:
    for name, template in workloads().items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert container["resources"]["limits"]["memory"], name


def test_workers_have_no_rights_in_the_cluster_and_no_secret_of_the_site() -> None:
    template = workloads()["workers"]
    assert template["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in template["spec"]
    given = set(environment(template))
    assert given.isdisjoint(
        {"TASKMASTER_SECRET_KEY", "DATABASE_URL", "TASKMASTER_DATABASE_DIRECT_URL"}
    )
    (authority,) = [each for each in template["spec"]["volumes"] if "secret" in each]
    assert [each["key"] for each in authority["secret"]["items"]] == ["ca.pem"]


def test_no_probe_gets_the_join_token() -> None:
    pod = workloads()["workers"]["spec"]
    worker, *others = pod["containers"]
    assert "TASKMASTER_JOIN_TOKEN" in {each["name"] for each in worker["env"]}
    assert not any(name.endswith("Probe") for name in worker)
    given = {each["name"] for container in others for each in container["env"]}
    assert given == {"POD_NAMESPACE", "TASKMASTER_COORDINATORS"}
    # The first process is not the worker's: its environment is that of the pod.
    assert pod["shareProcessNamespace"] is True


def test_every_selector_finds_pods() -> None:
    labels = [template["metadata"]["labels"] for template in workloads().values()]
    selectors: list[tuple[str, dict[str, str]]] = []
    for kind in ("Service", "PodDisruptionBudget", "Deployment", "StatefulSet", "NetworkPolicy"):
        for name, each in of(kind).items():
            spec = each["spec"]
            selector = spec.get("selector", spec.get("podSelector", {}))
            selectors.append((f"{kind} {name}", selector.get("matchLabels", selector)))
    for name, selector in selectors:
        wanted = {key: value for key, value in selector.items() if isinstance(value, str)}
        assert any(wanted.items() <= each.items() for each in labels), name


def test_services_have_probes_and_a_budget_and_scaled_ones_no_fixed_replicas() -> None:
    budgets, scaled = of("PodDisruptionBudget"), ("web", "workers")
    for name in ("web", "coordinator", "workers", "pgbouncer"):
        containers = workloads()[name]["spec"]["containers"]
        assert any("readinessProbe" in each for each in containers), name
        assert name in budgets, name
    for name in scaled:
        assert "replicas" not in of("Deployment")[name]["spec"], name
    # A disconnected worker continues its tasks, so no liveness probe may kill it.
    containers = workloads()["workers"]["spec"]["containers"]
    assert not any("livenessProbe" in each for each in containers)


def test_keda_counts_running_and_due_tasks_and_the_slots_of_a_worker() -> None:
    (trigger,) = of("ScaledObject")["workers"]["spec"]["triggers"]
    asked = set(re.findall(r"taskmaster_(\w+)", trigger["metadata"]["query"]))
    assert asked == {"queue_due", "queue_running"}
    container = workloads()["workers"]["spec"]["containers"][0]
    slots = container["args"][container["args"].index("--concurrency") + 1]
    assert trigger["metadata"]["threshold"] == slots


@pytest.mark.parametrize("overlay", ["base", "trial", "keda"])
def test_kustomize_builds_every_variant(overlay: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip(
            "kustomize was NOT tested: it needs kubectl 1.27 or newer, which Debian 12 lacks"
        )
    done = subprocess.run(
        [kubectl, "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=False
    )
    if "unknown field" in done.stderr:
        pytest.skip("kustomize was NOT tested: this kubectl is older than 1.27")
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert {each["metadata"].get("namespace", "taskmaster") for each in made} == {"taskmaster"}
    assert [fault for each in made for fault in schema_errors(each)] == []
    # The ConfigMap's name gets a hash suffix, also in its references.
    (site,) = [each["metadata"]["name"] for each in made if each["kind"] == "ConfigMap"]
    assert done.stdout.count(f"name: {site}") == 1 + 5
