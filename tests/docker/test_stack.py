"""Run the unchanged files of deploy/ on a real engine, and let the stack scale itself."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.docker import images
from tests.docker.engine import call
from tests.postgres_plugin import ROOT
from tests.system.fleet import free_port
from tests.waiting import wait_until

POOL = "workers"
#: Services with a health check.
_HEALTHY = ("web", "web", "coordinator-1", "coordinator-2", "pgbouncer", "postgres")
_ONLINE = (
    "from taskmaster.workers.models import Worker; "
    f"print(Worker.objects.filter(status='online', pool='{POOL}').count())"
)


class Stack:
    def __init__(self, engine: dict[str, str]) -> None:
        self.project = f"taskmaster-{uuid4().hex[:8]}"
        port = free_port()
        socket = urlsplit(engine.get("DOCKER_HOST", "unix:///var/run/docker.sock")).path
        if not Path(socket).is_socket():
            pytest.skip(f"the engine has no socket here ({socket}): the stack was NOT tested")
        files = [ROOT / "deploy" / name for name in ("compose.yaml", "compose.scaling.yaml")]
        self.environment = {
            **engine,
            "COMPOSE_FILE": ":".join(map(str, files)),
            "DOCKER_SOCKET": socket,
            "DOCKER_GID": str(Path(socket).stat().st_gid),
            "TASKMASTER_DOCKER_IMAGE": images.TASKMASTER_DOCKER,
            "COMPOSE_PROJECT_NAME": self.project,
            "TASKMASTER_IMAGE": images.TASKMASTER,
            "PGBOUNCER_IMAGE": images.PGBOUNCER,
            "POSTGRES_IMAGE": images.POSTGRES,
            "POSTGRES_PASSWORD": secrets.token_hex(24),
            "TASKMASTER_SECRET_KEY": secrets.token_urlsafe(48),
            # The suite's own variable would name modules that the image does not have.
            "TASKMASTER_TASK_MODULES": "",
            "WEB_PORTS": f"{port}-{port + 1}",
        }
        self.token = ""
        self.url = f"http://127.0.0.1:{port}"
        plugin = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
        self._command = ["docker-compose"] if plugin else ["docker", "compose"]

    def compose(self, *arguments: str) -> str:
        return call([*self._command, *arguments], self.environment)

    def manage(self, *arguments: str) -> str:
        return self.compose("exec", "-T", "coordinator-1", "python", "manage.py", *arguments)

    def healthy(self) -> list[str]:
        label = f"--filter=label=com.docker.compose.project={self.project}"
        shown = '{{.Label "com.docker.compose.service"}}'
        argv = ["docker", "ps", "--filter=health=healthy", label, "--format", shown]
        return sorted(call(argv, self.environment).split())

    def online(self) -> int:
        return int(self.manage("shell", "--no-imports", "-c", _ONLINE).splitlines()[-1])


@pytest.fixture(scope="module")
def stack(engine: dict[str, str]) -> Iterator[Stack]:
    stack = Stack(engine)
    try:
        # The steps of deploy/README.md.
        stack.compose("run", "--rm", "migrate")
        token = stack.compose(
            "run", "--rm", "-T", "migrate", "python", "manage.py", "taskmaster", "join-token", "all"
        )
        stack.environment["TASKMASTER_JOIN_TOKEN"] = token.split()[-1]
        stack.compose("up", "-d")
        stack.manage(
            "createsuperuser", "--no-input", "--username", "ops", "--email", "ops@localhost"
        )
        stack.token = stack.manage("drf_create_token", "ops").split()[2]
        wait_until(lambda: stack.healthy() == sorted(_HEALTHY), "all are healthy", 90)
        wait_until(lambda: stack.online() == 1, "the worker is online", 90)
        yield stack
    finally:
        print(stack.compose("logs", "--tail", "30"))
        stack.compose("down", "--volumes", "--timeout", "5")


#: Prints the user id and any certificate bundle left from the build.
_LOOK = "id -u; find / -xdev -name 'ca-bundle*' 2>&- || true"


def submit(stack: Stack, script: str) -> int:
    output = stack.manage("taskmaster", "submit", "--shell", script, "--json")
    return int(json.loads(output)["id"])


def call_api(stack: Stack, path: str, body: dict[str, object]) -> dict[str, Any]:
    """Call REST through a web process of the stack."""
    argv = ["curl", "-s", "--fail-with-body", "-H", f"Authorization: Token {stack.token}"]
    argv += ["-H", "Content-Type: application/json", "-d", json.dumps(body), f"{stack.url}{path}"]
    return dict(json.loads(call(argv)))


def scale(stack: Stack, count: int) -> None:
    assert (
        call_api(stack, "/api/workers/scale/", {"pool": POOL, "count": count})["desired"] == count
    )
    wait_until(lambda: stack.online() == count, f"{count} are online", 90)


def test_a_task_submitted_by_rest_runs_through_the_whole_stack(stack: Stack) -> None:
    assert '"status": "ok"' in call(["curl", "-sf", f"{stack.url}/healthz"])
    output = stack.manage("taskmaster", "submit", "--shell", "exit 0", "--wait")
    assert "complete" in output
    assert '{"exit_code": 0}' in output


def test_scaling_to_three_workers_and_back_interrupts_no_task(stack: Stack) -> None:
    call_api(
        stack, "/api/pools/", {"name": POOL, "provider": "compose", "desired": 1, "concurrency": 1}
    )
    scale(stack, 3)
    ids = [submit(stack, "sleep 8; echo done") for _ in range(3)]
    wait_until(_status(stack, ids, "started"), "all three run", 20)
    scale(stack, 1)
    wait_until(_status(stack, ids, "complete"), "all three are complete", 30)
    shown = [stack.manage("taskmaster", "show", str(each)) for each in ids]
    assert all("1 of 3" in each for each in shown), "each ran once"


def _status(stack: Stack, ids: list[int], status: str) -> Callable[[], bool]:
    code = (
        "from taskmaster.tasks.models import Task; "
        f"print(Task.objects.filter(id__in={ids}, status='{status}').count())"
    )

    def count_matches() -> bool:
        output = stack.manage("shell", "--no-imports", "-c", code)
        return int(output.splitlines()[-1]) == len(ids)

    return count_matches


def test_the_images_run_unprivileged_and_contain_no_build_certificates(
    engine: dict[str, str],
) -> None:
    run = ["docker", "run", "--rm", "--entrypoint", "sh"]
    output = call(
        [*run, images.TASKMASTER, "-c", "id -u; find / -xdev -name 'ca-bundle*' 2>&- || true"],
        engine,
    )
    assert output == "10001"
    assert call([*run, images.PGBOUNCER, "-c", "id -un"], engine) == "postgres"
