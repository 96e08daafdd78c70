"""Serve a fake Kubernetes API: Deployments, their scale subresource, pods, logs and rights.

A controller creates and deletes pods as the real ones do. Answers have the format of the real API,
and errors are Status objects. The rights are the rules of a Role.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web

NAMESPACE, TOKEN = "taskmaster", "token-of-the-coordinator"
_PREFIX = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{{name}}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Pod:
    """Hold a pod with one container, and the states of that container."""

    name: str
    deployment: str
    number: int
    created: str = field(default_factory=_now)
    deleted: str | None = None
    restarts: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    last_state: dict[str, Any] = field(default_factory=dict)
    log: str = "READY\n"
    previous_log: str | None = None

    def json(self) -> dict[str, Any]:
        """Return the pod in the format of the API."""
        meta: dict[str, Any] = {
            "name": self.name,
            "namespace": NAMESPACE,
            "uid": str(uuid4()),
            "creationTimestamp": self.created,
            "labels": {"app.kubernetes.io/name": self.deployment},
        }
        if self.deleted:
            meta |= {"deletionTimestamp": self.deleted, "deletionGracePeriodSeconds": 3660}
        running = "running" in self.state
        status: dict[str, Any] = {"phase": "Running" if running or self.restarts else "Pending"}
        status["containerStatuses"] = [
            {
                "name": "worker",
                "image": "taskmaster:latest",
                "imageID": "sha256:0",
                "ready": running,
                "restartCount": self.restarts,
                "state": self.state,
                "lastState": self.last_state,
            }
        ]
        return {
            "metadata": meta,
            "spec": {"containers": [{"name": "worker", "image": "taskmaster:latest"}]},
            "status": status,
        }


class KubernetesApi:
    """Serve the API while the context is open. `url` is its address."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self.rules = rules
        self.replicas: dict[str, int] = {}
        self.pods: list[Pod] = []
        #: Number of writes that conflict with another client.
        self.conflicts = 0
        #: While this is cleared, no request is answered.
        self.answering = asyncio.Event()
        self.answering.set()
        #: State of new containers.
        self.first_state: dict[str, Any] = {"running": {"startedAt": _now()}}
        self.requests: list[str] = []
        self._version = itertools.count(1)
        self._number = itertools.count(1)

    async def __aenter__(self) -> KubernetesApi:
        application = web.Application(middlewares=[self._guard])
        application.router.add_get(f"{_PREFIX}/scale", self._read_scale)
        application.router.add_patch(f"{_PREFIX}/scale", self._patch_scale)
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        application.router.add_get(pods, self._list_pods)
        application.router.add_get(f"{pods}/{{name}}/log", self._log)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answering.set()
        await self._runner.cleanup()

    # ---- what the cluster does --------------------------------------------------------------

    def control(self) -> None:
        """Create or delete pods to match the replicas. Pods that do not run are deleted first,
        then the newest.
        """
        for deployment, replicas in self.replicas.items():
            active = [p for p in self.pods if p.deployment == deployment and not p.deleted]
            for _ in range(replicas - len(active)):
                name = f"{deployment}-7d9f8b6c5d-{uuid4().hex[:5]}"
                state = dict(self.first_state)
                self.pods.append(Pod(name, deployment, next(self._number), state=state))
            active.sort(key=lambda pod: ("running" in pod.state, -pod.number))
            for pod in active[: max(0, len(active) - replicas)]:
                pod.deleted = _now()

    def finish_deleted(self) -> None:
        """Remove the deleted pods, as after the end of their containers."""
        self.pods = [pod for pod in self.pods if not pod.deleted]

    def crash(self, output: str, code: int, *, restarted: bool) -> None:
        """End a container. The kubelet restarts it immediately, or waits."""
        pod = next(each for each in self.pods if not each.deleted)
        end = {
            "terminated": {
                "exitCode": code,
                "reason": "Error",
                "startedAt": pod.created,
                "finishedAt": _now(),
            }
        }
        pod.last_state, pod.previous_log = end, pod.log + output + "\n"
        if restarted:
            pod.restarts += 1
            pod.state, pod.log = {"running": {"startedAt": _now()}}, "READY\n"
        else:
            message = "back-off 10s restarting failed container"
            pod.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}

    def start_again(self) -> None:
        """Restart the waiting containers, as after the kubelet's pause."""
        for pod in self.pods:
            if "waiting" in pod.state:
                pod.restarts += 1
                pod.state, pod.log = {"running": {"startedAt": _now()}}, "READY\n"

    # ---- the API ----------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        await self.answering.wait()
        self.requests.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized", "Unauthorized")
        if (refused := self._refused(request)) is not None:
            return refused
        response: web.StreamResponse = await handler(request)
        return response

    def _refused(self, request: web.Request) -> web.Response | None:
        name = request.match_info.get("name")
        parts = request.path.split("/")
        group = parts[2] if parts[1] == "apis" else ""
        at = parts.index(NAMESPACE) + 1
        resource = "/".join([parts[at], *parts[at + 2 :]])
        verb = {"GET": "get" if name else "list", "PATCH": "patch"}[request.method]
        for rule in self.rules:
            names = rule.get("resourceNames")
            if (
                group in rule["apiGroups"]
                and resource in rule["resources"]
                and verb in rule["verbs"]
                and (names is None or name in names)
            ):
                return None
        subject = f'User "system:serviceaccount:{NAMESPACE}:coordinator"'
        message = (
            f'{resource} is forbidden: {subject} cannot {verb} resource "{resource}" in API group '
            f'"{group}" in the namespace "{NAMESPACE}"'
        )
        return _status(403, "Forbidden", message)

    def _scale(self, name: str) -> dict[str, Any]:
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": str(uuid4()),
                "resourceVersion": str(next(self._version)),
                "creationTimestamp": _now(),
            },
            "spec": {"replicas": self.replicas[name]},
            "status": {
                "replicas": sum(p.deployment == name and not p.deleted for p in self.pods),
                "selector": f"app.kubernetes.io/name={name}",
            },
        }

    async def _read_scale(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.replicas:
            return _status(404, "NotFound", f'deployments.apps "{name}" not found')
        return web.json_response(self._scale(name))

    async def _patch_scale(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.content_type != "application/merge-patch+json":
            return _status(415, "UnsupportedMediaType", f"not {request.content_type}")
        if name not in self.replicas:
            return _status(404, "NotFound", f'deployments.apps "{name}" not found')
        replicas = (await request.json())["spec"]["replicas"]
        if not isinstance(replicas, int) or replicas < 0:
            return _status(422, "Invalid", "spec.replicas: must be greater than or equal to 0")
        if self.conflicts:
            self.conflicts -= 1
            message = (
                "the object has been modified; please apply your changes to the latest version"
            )
            return _status(409, "Conflict", f'deployments.apps "{name}": {message}')
        answer = self._scale(name)
        answer["spec"]["replicas"] = replicas
        if request.query.get("dryRun") != "All":
            self.replicas[name] = replicas
            self.control()
        return web.json_response(answer)

    async def _list_pods(self, request: web.Request) -> web.Response:
        label, _, value = request.query.get("labelSelector", "").partition("=")
        assert label == "app.kubernetes.io/name"
        items = [pod.json() for pod in self.pods if pod.deployment == value]
        meta = {"resourceVersion": str(next(self._version))}
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": items}
        return web.json_response(body)

    async def _log(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        pod = next((each for each in self.pods if each.name == name), None)
        if pod is None:
            return _status(404, "NotFound", f'pods "{name}" not found')
        text: str | None = pod.log
        if request.query.get("previous", "").lower() == "true":
            text = pod.previous_log
        if text is None:
            message = f'previous terminated container "worker" in pod "{name}" not found'
            return _status(400, "BadRequest", message)
        lines = text.splitlines(keepends=True)[-int(request.query["tailLines"]) :]
        return web.Response(text="".join(lines)[: int(request.query["limitBytes"])])


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.json_response(body, status=code)
