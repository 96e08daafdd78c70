"""`kubernetes`: workers as pods of a Deployment that has the name of the pool.

Its replicas are set through the scale subresource. What a worker is stands in the Deployment:
its image, options, environment and grace. Options and environment of the pool reach
it through the manifest alone. The cluster is that of KUBECONFIG, or the one that the coordinator's
pod runs in, or that of ~/.kube/config; the namespace is the context's or the pod's.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from workers.pools.provider import (
    LOG_CHARACTERS,
    LOG_LINES,
    Died,
    Observed,
    ProviderFailed,
    ProviderMissing,
    Wanted,
    tail,
)
from workers.pools.providers.cluster import Cluster, connect
from workers.pools.providers.containers import exit_code

_RIGHTS = "The rights that it needs are in deploy/kubernetes/base/access.yaml."
#: Somebody else wrote the Deployment at the same moment; that passes.
_CONFLICTS = 5
_CONFLICT_PAUSE_S = 0.1
#: A container that waits for one of these does not start by itself.
_STUCK = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)


@dataclass(frozen=True, slots=True)
class _Pod:
    """What is looked at of a pod."""

    name: str
    leaving: bool
    phase: str
    #: Of its containers: how often they ended, all together.
    ends: int
    running: bool
    #: How the container that ended last did so; None: none has.
    end: Any
    #: The log is that of the container before the one that is there now.
    restarted: bool
    #: Why it cannot start, if it cannot.
    stuck: str

    @classmethod
    def read(cls, pod: Any) -> _Pod:
        """From a `V1Pod`."""
        statuses = [each for each in pod.status.container_statuses or () if each.state]
        ends = [(each, _end(each)) for each in statuses]
        waiting = [each.state.waiting for each in statuses if each.state.waiting]
        return cls(
            name=pod.metadata.name,
            leaving=pod.metadata.deletion_timestamp is not None,
            phase=pod.status.phase or "Pending",
            # The end of one that does not run again yet is not among its restarts.
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
    """How a container ended, now or the last time; None: it never has."""
    before = status.last_state.terminated if status.last_state else None
    return status.state.terminated or before


class KubernetesProvider:
    """Of one coordinator."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._cluster: Cluster | None = None
        #: What was last seen of each pod, by pool: how often it ended, and why it is stuck.
        self._seen: dict[str, dict[str, tuple[int, str]]] = {}

    async def check(self, wanted: Wanted) -> None:
        """Raises ProviderMissing without cluster, Deployment or rights; changes nothing."""
        await self._read_scale(wanted)
        await self._write_scale(wanted, dry_run="All")

    async def observe(self, wanted: Wanted) -> Observed:
        """What the cluster says of the Deployment's pods."""
        scale = await self._read_scale(wanted)
        pods = [_Pod.read(each) for each in await self._pods(wanted, scale.status.selector)]
        died = await self._deaths(wanted, pods)
        return Observed(
            running=sum(each.running and not each.leaving for each in pods),
            stopping=sum(each.leaving and each.phase in ("Pending", "Running") for each in pods),
            died=tuple(died),
        )

    async def scale(self, wanted: Wanted) -> None:
        """Sets the replicas; the cluster does the rest."""
        await self._write_scale(wanted)

    async def close(self) -> None:
        """Closes the connections to the API."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.client.close()

    # ---- what there is ----------------------------------------------------------------------

    async def _deaths(self, wanted: Wanted, pods: list[_Pod]) -> list[Died]:
        """Of those that were not told to go, and did not end with code 0."""
        first_look = wanted.pool not in self._seen
        before = self._seen.get(wanted.pool, {})
        self._seen[wanted.pool] = {each.name: (each.ends, each.stuck) for each in pods}
        died = []
        for pod in pods:
            ends, stuck = before.get(pod.name, (0, ""))
            if pod.leaving:
                continue
            if pod.stuck and not stuck:
                died.append(Died(None, tail(f"{pod.name}: {pod.stuck}")))
            elif pod.ends > ends and not (first_look and pod.running):
                end = pod.end
                if end is None or end.exit_code == 0:
                    continue
                lived = (end.finished_at - end.started_at) if end.started_at else None
                log = await self._last_log(wanted, pod)
                died.append(
                    Died(exit_code(end.exit_code), log, lived.total_seconds() if lived else 0.0)
                )
        return died

    # ---- the API ----------------------------------------------------------------------------

    async def _read_scale(self, wanted: Wanted) -> Any:
        cluster = await self._connected()
        apps = _api("AppsV1Api", cluster)
        return await self._asked(
            wanted, apps.read_namespaced_deployment_scale(wanted.pool, cluster.namespace)
        )

    async def _write_scale(self, wanted: Wanted, **options: str) -> None:
        cluster = await self._connected()
        apps = _api("AppsV1Api", cluster)
        for turn in range(_CONFLICTS):
            try:
                await self._asked(
                    wanted,
                    apps.patch_namespaced_deployment_scale(
                        wanted.pool,
                        cluster.namespace,
                        {"spec": {"replicas": wanted.count}},
                        _content_type="application/merge-patch+json",
                        **options,
                    ),
                )
                return
            except _Conflict:
                await asyncio.sleep(_CONFLICT_PAUSE_S * 2**turn)
        raise ProviderFailed(
            f"The Deployment {wanted.pool} is written by somebody else all the time; is it scaled "
            "by an autoscaler, too?"
        )

    async def _pods(self, wanted: Wanted, selector: str) -> list[Any]:
        cluster = await self._connected()
        found = await self._asked(
            wanted,
            _api("CoreV1Api", cluster).list_namespaced_pod(
                cluster.namespace, label_selector=selector
            ),
        )
        return list(found.items)

    async def _last_log(self, wanted: Wanted, pod: _Pod) -> str:
        """Empty when there is none to be had: the pod may be gone by now."""
        cluster = await self._connected()
        try:
            text = await self._asked(
                wanted,
                _api("CoreV1Api", cluster).read_namespaced_pod_log(
                    pod.name,
                    cluster.namespace,
                    previous=pod.restarted,
                    tail_lines=LOG_LINES,
                    limit_bytes=LOG_CHARACTERS,
                ),
            )
        except (ProviderFailed, ProviderMissing):
            return ""
        return tail(text)

    async def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = await connect(self._environment)
        return self._cluster

    async def _asked(self, wanted: Wanted, call: Awaitable[Any]) -> Any:
        """What the API answers. Raises ProviderMissing, ProviderFailed or _Conflict."""
        aiohttp = importlib.import_module("aiohttp")
        exceptions = importlib.import_module("kubernetes.aio.client.exceptions")
        assert self._cluster is not None
        try:
            return await call
        except exceptions.ApiException as error:
            raise self._refusal(wanted, error) from None
        except (aiohttp.ClientError, OSError) as error:
            host = self._cluster.client.configuration.host
            raise ProviderMissing(f"No cluster answers at {host}: {error}") from None

    def _refusal(self, wanted: Wanted, error: Any) -> Exception:
        assert self._cluster is not None
        said = _message(error)
        if error.status in (401, 403):
            return ProviderMissing(f"The cluster refuses: {said} {_RIGHTS}")
        if error.status == 404:
            return ProviderMissing(
                f"The namespace {self._cluster.namespace} has no Deployment {wanted.pool!r}, which "
                f"a pool of that name needs: {said}"
            )
        if error.status == 409:
            return _Conflict(said)
        return ProviderFailed(f"Kubernetes answers {error.status}: {said}")


class _Conflict(ProviderFailed):
    """The object was changed meanwhile; the same again may do."""


def _api(name: str, cluster: Cluster) -> Any:
    return getattr(importlib.import_module("kubernetes.aio.client"), name)(cluster.client)


def _message(error: Any) -> str:
    """The words of the API's Status."""
    try:
        return str(json.loads(error.body)["message"])[:500]
    except (TypeError, ValueError, LookupError):
        return str(error.reason)
