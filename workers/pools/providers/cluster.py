"""Which cluster: KUBECONFIG, the pod's own, or ~/.kube/config."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.pools.provider import ProviderMissing

_DEFAULT = Path("~/.kube/config")
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A way to the API of a cluster."""

    #: `kubernetes.aio.client.ApiClient`
    client: Any
    namespace: str


async def connect(environment: Mapping[str, str]) -> Cluster:
    """Raises ProviderMissing when no cluster is configured, or in a way that does not do here."""
    # A second of imports must not hold up the event loop.
    client, config = await asyncio.to_thread(_load)
    given = environment.get("KUBECONFIG")
    try:
        if not given and environment.get("KUBERNETES_SERVICE_HOST"):
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            return Cluster(client.ApiClient(configuration), _NAMESPACE.read_text().strip())
        path = given or str(_DEFAULT.expanduser())
        if not any(Path(each).expanduser().is_file() for each in path.split(os.pathsep)):
            raise ProviderMissing(
                f"No cluster is configured where the coordinator runs: there is no {path}. Name a "
                "file with KUBECONFIG, or run the coordinator in the cluster."
            )
        users = _users(path)
        _, context = config.list_kube_config_contexts(path)
        user = context["context"].get("user")
        if {"exec", "auth-provider"} & set(users.get(user, {})):
            # It would be forked, and gRPC runs in this process.
            raise ProviderMissing(
                f"The user {user} of {path} gets its credentials from a command, which a "
                "coordinator cannot run; give it the token of a service account."
            )
        found = await config.new_client_from_config(path, persist_config=False)
    except (config.ConfigException, OSError) as error:
        raise ProviderMissing(f"The cluster's configuration cannot be used: {error}") from None
    return Cluster(found, context["context"].get("namespace") or "default")


def _load() -> tuple[Any, Any]:
    """The client's modules, with what it would load at the first use of each name."""
    client = importlib.import_module("kubernetes.aio.client")
    for name in ("AppsV1Api", "CoreV1Api", "V1Scale", "V1PodList"):
        getattr(client, name)
    return client, importlib.import_module("kubernetes.aio.config")


def _users(path: str) -> dict[str, Any]:
    """The users of all files, by name. Raises ProviderMissing for a file that is none."""
    import yaml

    users: dict[str, Any] = {}
    for each in path.split(os.pathsep):
        file = Path(each).expanduser()
        if not file.is_file():
            continue
        try:
            entries = yaml.safe_load(file.read_text()).get("users") or []
            users.update({entry["name"]: entry.get("user") or {} for entry in entries})
        except (yaml.YAMLError, UnicodeDecodeError, AttributeError, LookupError, TypeError):
            raise ProviderMissing(f"{file} is no configuration for a cluster.") from None
    return users
