"""Find the cluster to use: KUBECONFIG, the cluster of this pod, or ~/.kube/config."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskmaster.workers.pools.provider import ProviderMissing

_DEFAULT = Path("~/.kube/config")
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class ClusterClient:
    """Hold a client for the API of a cluster."""

    #: An instance of `kubernetes.aio.client.ApiClient`.
    client: Any
    namespace: str


async def connect(environment: Mapping[str, str]) -> ClusterClient:
    """Connect to the configured cluster.

    Raises ProviderMissing when no cluster is configured, or its configuration cannot be used here.
    """
    # The imports take about a second and must not block the event loop.
    client, config = await asyncio.to_thread(_load)
    given = environment.get("KUBECONFIG")
    try:
        if not given and environment.get("KUBERNETES_SERVICE_HOST"):
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            return ClusterClient(client.ApiClient(configuration), _NAMESPACE.read_text().strip())
        path = given or str(_DEFAULT.expanduser())
        if not any(Path(each).expanduser().is_file() for each in path.split(os.pathsep)):
            raise ProviderMissing(
                f"No cluster is configured on the coordinator's host: {path} does not exist. Set "
                "KUBECONFIG, or run the coordinator in the cluster."
            )
        users = _users(path)
        _, context = config.list_kube_config_contexts(path)
        user = context["context"].get("user")
        if {"exec", "auth-provider"} & set(users.get(user, {})):
            # The client would fork the command, but gRPC runs in this process.
            raise ProviderMissing(
                f"The user {user} of {path} gets its credentials from a command, which a "
                "coordinator cannot run; use the token of a service account."
            )
        found = await config.new_client_from_config(path, persist_config=False)
    except (config.ConfigException, OSError) as error:
        raise ProviderMissing(f"The configuration of the cluster cannot be used: {error}") from None
    return ClusterClient(found, context["context"].get("namespace") or "default")


def _load() -> tuple[Any, Any]:
    """Load the client's modules, including those that it imports on first use of a name."""
    client = importlib.import_module("kubernetes.aio.client")
    for name in ("AppsV1Api", "CoreV1Api", "V1Scale", "V1PodList"):
        getattr(client, name)
    return client, importlib.import_module("kubernetes.aio.config")


def _users(path: str) -> dict[str, Any]:
    """Return the users of all files, by name. Raises ProviderMissing for an invalid file."""
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
            raise ProviderMissing(f"{file} is not a valid cluster configuration.") from None
    return users
