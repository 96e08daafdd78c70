"""Test that hostile tasks find no secret of the processes around them, as root and as others.

One fleet has a coordinator, a worker of its local pool, and a worker that was started by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

import psutil
import pytest
from asgiref.sync import sync_to_async

from taskmaster.workers.models import Worker
from taskmaster.workers.pools import operations
from taskmaster.workers.security import certificates, tokens
from tests.factories import stored
from tests.ordinary_user import UID, as_ordinary_user, needs_root
from tests.system.fleet import ROOT, database_url, end, free_port
from tests.system.workers import output
from tests.waiting import until, until_finished

pytestmark = pytest.mark.django_db(transaction=True)

MODULE = "tests.system.secret_search"
#: A variable that is no secret. Finding it proves that the search works.
PUBLIC = "TASKMASTER_TEST_PUBLIC"


class Fleet:
    """The processes of one user, and the secrets that they got."""

    def __init__(self, folder: Path, prefix: Callable[..., list[str]]) -> None:
        self.folder = folder
        self.prefix = prefix
        self.port = free_port()
        self.mark = f"taskmaster_test={token_hex(8)}"
        self.certs = certificates.write(folder / "certs", ["localhost"], days=1)
        url = database_url()
        self.variables = {
            PUBLIC: token_hex(16),
            # libpq ignores this parameter, because the application has a name.
            "DATABASE_URL": f"{url}?fallback_application_name={token_hex(16)}",
            "TASKMASTER_DATABASE_DIRECT_URL": f"{url}?fallback_application_name={token_hex(16)}",
            "TASKMASTER_SHARDS": f"north=postgresql://me:{token_hex(16)}@127.0.0.1:1/none",
            "TASKMASTER_JOIN_TOKEN": tokens.create("fleet").secret,
        }
        self.keys = {"coordinator": self.certs.coordinator_key, "worker": self.certs.worker_key}
        self.processes: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self, role: str, *arguments: str) -> None:
        """Start a `manage.py` command. Its key comes from a file that only root can read."""
        log = self.folder / f"{arguments[0]}.log"
        with self.keys[role].open("rb") as key, log.open("wb") as out:
            environment = {
                **os.environ,
                **self.variables,
                "HOME": str(self.folder),
                "TASKMASTER_DATA_DIR": str(self.folder / "data"),
                "TASKMASTER_SECRET_KEY": token_hex(32),
                "TASKMASTER_TASK_MODULES": MODULE,
                "TASKMASTER_TLS_CA": str(self.certs.ca),
                "TASKMASTER_TLS_CERT": str(self.folder / "certs" / f"{role}.pem"),
                "TASKMASTER_TLS_KEY": f"/dev/fd/{key.fileno()}",
            }
            program = [sys.executable, "-X", self.mark, str(ROOT / "manage.py"), *arguments]
            process = subprocess.Popen(
                self.prefix(*program),
                env=environment,
                pass_fds=[key.fileno()],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.processes.append((process, log))

    def markers(self) -> dict[str, list[str]]:
        """Return a part of each secret that is in no other text, in two halves."""
        parts = {name: value[-32:] for name, value in self.variables.items()}
        parts["TASKMASTER_SHARDS"] = self.variables["TASKMASTER_SHARDS"].split(":")[2][:32]
        for role, path in self.keys.items():
            parts[f"key of {role}"] = path.read_text().splitlines()[2]
        return {name: [text[:12], text[12:]] for name, text in parts.items()}


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="taskmaster-test-"))
    made.chmod(0o755)
    (made / "certs").mkdir(mode=0o755)
    (made / "data").mkdir()
    yield made
    shutil.rmtree(made)


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[None]:
    """Run the coordinator, a worker of its pool and a worker of its own."""
    fleet.start("coordinator", "runcoordinator", "--port", str(fleet.port))
    address = f"localhost:{fleet.port}"
    options = ("--coordinator", address, "--name", "own", "--queues", "own", "--concurrency", "1")
    fleet.start("worker", "runworker", *options)
    try:
        await until(lambda: Worker.objects.filter(status="online").acount(), 60)
        await until(_both_are_online, 60)
        yield
    finally:
        await sync_to_async(operations.scale)("herons", 0)
        await until(_pool_has_ended, 60)
        codes = [await asyncio.to_thread(end, each) for each, _ in reversed(fleet.processes)]
        logs = "\n".join(log.read_text() for _, log in fleet.processes)
        assert codes == [0, 0], logs
        assert "Traceback" not in logs, logs


async def _both_are_online() -> bool:
    return await Worker.objects.filter(status="online").acount() == 2


async def _pool_has_ended() -> bool:
    return not await Worker.objects.filter(status="online", pool="herons").aexists()


store = sync_to_async(stored)


async def searched_by_task(fleet: Fleet, queue: str) -> dict[str, list[str]]:
    """Return what a Python task finds."""
    args = json.dumps([fleet.mark, fleet.markers()])
    fields = {"name": f"{MODULE}.search", "args": args, "kwargs": "{}"}
    [task_id] = await store(**fields, queue=queue, max_attempts=1)
    task = await until_finished(task_id)
    assert task.status == "complete", json.dumps(task.errors)
    found: dict[str, list[str]] = task.result
    return found


async def searched_by_command(fleet: Fleet, queue: str) -> dict[str, list[str]]:
    """Return what a shell command finds."""
    command = [sys.executable, "-m", MODULE, fleet.mark, json.dumps(fleet.markers())]
    kwargs = json.dumps({"command": command})
    [task_id] = await store(name="shell", kwargs=kwargs, queue=queue, max_attempts=1)
    task = await until_finished(task_id)
    texts = dict(await output(task_id))
    assert task.status == "complete", (json.dumps(task.errors), texts)
    found: dict[str, list[str]] = json.loads(texts["stdout"])
    return found


async def check_searches(fleet: Fleet) -> None:
    """Check what tasks find, in a worker of the pool and in one that was started by hand."""
    public, url = PUBLIC, "DATABASE_URL"
    for queue in ("own", "pool"):
        found = await searched_by_command(fleet, queue)
        assert {"own environ", "own memory", "own variables"} <= set(found.pop(public))
        assert {name: places for name, places in found.items() if places} == {}, queue
        found = await searched_by_task(fleet, queue)
        assert {"own memory", "own variables"} <= set(found.pop(public))
        # The settings of Django have it.
        assert set(found.pop(url)) == {"own memory", "own variables"}
        assert {name: places for name, places in found.items() if places} == {}, queue


async def check_memory() -> None:
    """Check that memory which the processes of a worker share counts once."""
    worker = await Worker.objects.aget(name="own")
    root = psutil.Process(worker.pid)
    tree = [root, *root.children(recursive=True)]
    resident = sum(each.memory_info().rss for each in tree)
    # Only root can read this of hidden processes.
    is_root = os.geteuid() == 0
    shared_once = sum(each.memory_full_info().pss for each in tree) if is_root else 2**24

    async def is_reported() -> bool:
        await worker.arefresh_from_db()
        return 0.5 * shared_once < worker.rss_bytes < 0.8 * resident

    await until(is_reported, 30)


@sync_to_async
def create_pool() -> None:
    fields = {"name": "herons", "executor": "process", "concurrency": 1, "queues": ["pool"]}
    operations.create(fields)
    operations.scale("herons", 1)


async def test_tasks_of_an_ordinary_user_find_no_secret_in_any_process(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder / "data", UID, UID)
    fleet = await sync_to_async(Fleet)(
        folder, as_ordinary_user if os.geteuid() == 0 else lambda *argv: list(argv)
    )
    await create_pool()
    async with running(fleet):
        await check_searches(fleet)
        await check_memory()


@needs_root
async def test_tasks_of_root_find_no_secret_in_environments_and_inherited_memory(
    folder: Path,
) -> None:
    fleet = await sync_to_async(Fleet)(folder, lambda *argv: list(argv))
    await create_pool()
    async with running(fleet):
        await check_searches(fleet)
