"""Run workers as pods of a Deployment that has the name of the pool.

The replicas are set through the scale subresource. The Deployment defines the workers: image,
options, environment and grace. Options and environment of the pool reach the workers only through
the manifest. The cluster is the one of KUBECONFIG, or the one that runs the coordinator's pod, or
the one of ~/.kube/config. The namespace is taken from the context or from the pod.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from taskmaster.workers.pools.provider import (
    LOG_CHARACTERS,
    LOG_LINES,
    DeadWorker,
    DesiredPool,
    ObservedPool,
    ProviderFailed,
    ProviderMissing,
    signal_of_shell_code,
    tail,
)
from taskmaster.workers.pools.providers.cluster import ClusterClient, connect

_RIGHTS = "The required rights are in deploy/kubernetes/base/access.yaml."
#: Number of attempts when other clients write the Deployment concurrently.
_CONFLICTS = 5
_CONFLICT_PAUSE_S = 0.1
#: Reasons for which a waiting container does not start without a change by an operator.
_STUCK = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)


@dataclass(frozen=True, slots=True)
class _Pod:
    """Hold the relevant state of a pod."""

    name: str
    #: Name of the first container, which runs the worker.
    container: str
    leaving: bool
    phase: str
    #: Number of times that its containers have ended.
    ends: int
    running: bool
    #: Terminated state of the container that ended last. None: none has ended.
    end: Any
    #: True: the log of the ended container is that of the previous instance.
    restarted: bool
    #: Why the pod cannot start, or "".
    stuck: str

    @classmethod
    def read(cls, pod: Any) -> _Pod:
        """Build the state from a `V1Pod`."""
        statuses = [each for each in pod.status.container_statuses or () if each.state]
        ends = [(each, _end(each)) for each in statuses]
        waiting = [each.state.waiting for each in statuses if each.state.waiting]
        return cls(
            name=pod.metadata.name,
            container=pod.spec.containers[0].name,
            leaving=pod.metadata.deletion_timestamp is not None,
            phase=pod.status.phase or "Pending",
            # The end of a container that has not restarted yet is not counted as a restart.
            ends=sum(
                each.restart_count + (end is not None and not each.state.running)
                for each, end in ends
            ),
            running=bool(statuses) and all(each.state.running for each in statuses),
            end=next((end for _, end in ends if end is not None), None),
            restarted=not any(each.state.terminated for each in statuses),
            stuck=next(
                (f"{each.reason}: {each.message}" for each in waiting if each.reason in _STUCK),
                f"{pod.status.reason}: {pod.status.message}" if pod.status.reason else "",
            ),
        )


def _end(status: Any) -> Any:
    """Return the newest terminated state of a container, or None if it has never ended."""
    before = status.last_state.terminated if status.last_state else None
    return status.state.terminated or before


class KubernetesProvider:
    """Run pools with Kubernetes, for one coordinator."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._cluster: ClusterClient | None = None
        #: Number of ends and stuck reason of each pod at the last observation, by pool.
        self._seen: dict[str, dict[str, tuple[int, str]]] = {}

    async def check(self, desired: DesiredPool) -> None:
        """Raise ProviderMissing if the cluster, the Deployment or the rights are missing.

        Changes nothing.
        """
        await self._read_scale(desired)
        await self._write_scale(desired, dry_run="All")

    async def observe(self, desired: DesiredPool) -> ObservedPool:
        """Return the state of the Deployment's pods, as reported by the cluster."""
        scale = await self._read_scale(desired)
        pods = [_Pod.read(each) for each in await self._pods(desired, scale.status.selector)]
        died = await self._deaths(desired, pods)
        return ObservedPool(
            running=sum(each.running and not each.leaving for each in pods),
            stopping=sum(each.leaving and each.phase in ("Pending", "Running") for each in pods),
            died=tuple(died),
        )

    async def scale(self, desired: DesiredPool) -> None:
        """Set the replicas. The cluster starts and stops the pods."""
        await self._write_scale(desired)

    async def close(self) -> None:
        """Close the connections to the API."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.client.close()

    # ---- observing --------------------------------------------------------------------------

    async def _deaths(self, desired: DesiredPool, pods: list[_Pod]) -> list[DeadWorker]:
        """Return the pods that died or became stuck since the last observation.

        Pods that were asked to stop and containers that ended with code 0 are left out.
        """
        first_observation = desired.pool not in self._seen
        before = self._seen.get(desired.pool, {})
        self._seen[desired.pool] = {each.name: (each.ends, each.stuck) for each in pods}
        died = []
        for pod in pods:
            ends, stuck = before.get(pod.name, (0, ""))
            if pod.leaving:
                continue
            if pod.stuck and not stuck:
                died.append(DeadWorker(None, tail(f"{pod.name}: {pod.stuck}")))
            elif pod.ends > ends and not (first_observation and pod.running):
                end = pod.end
                if end is None or end.exit_code == 0:
                    continue
                lived = (end.finished_at - end.started_at) if end.started_at else None
                log = await self._last_log(desired, pod)
                died.append(
                    DeadWorker(
                        signal_of_shell_code(end.exit_code),
                        log,
                        lived.total_seconds() if lived else 0.0,
                    )
                )
        return died

    # ---- API calls --------------------------------------------------------------------------

    async def _read_scale(self, desired: DesiredPool) -> Any:
        cluster = await self._connected()
        apps = _api("AppsV1Api", cluster)
        return await self._call(
            desired, apps.read_namespaced_deployment_scale(desired.pool, cluster.namespace)
        )

    async def _write_scale(self, desired: DesiredPool, **options: str) -> None:
        cluster = await self._connected()
        apps = _api("AppsV1Api", cluster)
        for attempt in range(_CONFLICTS):
            try:
                await self._call(
                    desired,
                    apps.patch_namespaced_deployment_scale(
                        desired.pool,
                        cluster.namespace,
                        {"spec": {"replicas": desired.count}},
                        _content_type="application/merge-patch+json",
                        **options,
                    ),
                )
                return
            except _Conflict:
                await asyncio.sleep(_CONFLICT_PAUSE_S * 2**attempt)
        raise ProviderFailed(
            f"The Deployment {desired.pool} is changed concurrently by another client; check "
            "whether an autoscaler scales it, too."
        )

    async def _pods(self, desired: DesiredPool, selector: str) -> list[Any]:
        cluster = await self._connected()
        found = await self._call(
            desired,
            _api("CoreV1Api", cluster).list_namespaced_pod(
                cluster.namespace, label_selector=selector
            ),
        )
        return list(found.items)

    async def _last_log(self, desired: DesiredPool, pod: _Pod) -> str:
        """Return the end of a pod's log, or "" if it is not available. The pod may be gone."""
        cluster = await self._connected()
        try:
            text = await self._call(
                desired,
                _api("CoreV1Api", cluster).read_namespaced_pod_log(
                    pod.name,
                    cluster.namespace,
                    container=pod.container,
                    previous=pod.restarted,
                    tail_lines=LOG_LINES,
                    limit_bytes=LOG_CHARACTERS,
                ),
            )
        except (ProviderFailed, ProviderMissing):
            return ""
        return tail(text)

    async def _connected(self) -> ClusterClient:
        if self._cluster is None:
            self._cluster = await connect(self._environment)
        return self._cluster

    async def _call(self, desired: DesiredPool, call: Awaitable[Any]) -> Any:
        """Return the API's answer. Raises ProviderMissing, ProviderFailed or _Conflict."""
        aiohttp = importlib.import_module("aiohttp")
        exceptions = importlib.import_module("kubernetes.aio.client.exceptions")
        assert self._cluster is not None
        try:
            return await call
        except exceptions.ApiException as error:
            raise self._refusal(desired, error) from None
        except (aiohttp.ClientError, OSError) as error:
            host = self._cluster.client.configuration.host
            raise ProviderMissing(f"The cluster at {host} is unreachable: {error}") from None

    def _refusal(self, desired: DesiredPool, error: Any) -> Exception:
        assert self._cluster is not None
        message = _message(error)
        if error.status in (401, 403):
            return ProviderMissing(f"The cluster denied access: {message} {_RIGHTS}")
        if error.status == 404:
            return ProviderMissing(
                f"The namespace {self._cluster.namespace} has no Deployment {desired.pool!r}, "
                f"which the pool of that name needs: {message}"
            )
        if error.status == 409:
            return _Conflict(message)
        return ProviderFailed(f"Kubernetes answered {error.status}: {message}")


class _Conflict(ProviderFailed):
    """Raised when the object was changed concurrently. A repeated call may succeed."""


def _api(name: str, cluster: ClusterClient) -> Any:
    return getattr(importlib.import_module("kubernetes.aio.client"), name)(cluster.client)


def _message(error: Any) -> str:
    """Return the message of the API's Status object."""
    try:
        return str(json.loads(error.body)["message"])[:500]
    except (TypeError, ValueError, LookupError):
        return str(error.reason)
