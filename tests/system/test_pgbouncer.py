"""Test that everything except LISTEN works through a pooler in transaction mode."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from tests.system.fleet import free_port
from tests.system.pgbouncer import BINARY, running_pgbouncer
from tests.system.programs import Feed, Site, running_site
from tests.system.server import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs pgbouncer; on Debian: apt-get install pgbouncer"
)

SESSIONS = "SELECT client_port FROM pg_stat_activity WHERE application_name = ANY (%s)"
LOUD = "Traceback| (WARNING|ERROR|CRITICAL) "
#: Far below the 10 s of the safety poll, which a coordinator without NOTIFY depends on.
IMMEDIATE_S = 8.0


def test_everything_but_listen_works_behind_a_pooler(server: Server, tmp_path: Path) -> None:
    with running_pgbouncer(server) as pooler:
        pooled = {"DATABASE_URL": pooler.url, "TASKMASTER_DB_PREPARE": "off"}
        with running_site(
            tmp_path, server, TASKMASTER_DATABASE_DIRECT_URL=server.url, **pooled
        ) as site:
            # This coordinator has only the pooler, and is configured for it.
            port = ("--port", str(free_port()))
            deaf = site.run(
                "deaf", "manage.py", "runcoordinator", *port, TASKMASTER_DATABASE_DIRECT_URL=""
            )
            with Feed(site, "pooled") as feed:
                # More than the number of executions after which psycopg prepares a statement.
                feed.until_accepted(50)
                feed.submit_many(500)
                assert site.get("/api/tasks/").status == 200
                submit_by_grpc(site)
            feed.check(server)
            check_starts_immediately(site, server)
            check_cancels_immediately(site, server)

            others = ["taskmaster-coordinator", "taskmaster-django"]
            assert set(server.ask(SESSIONS, others)) <= pooler.ports
            [direct] = server.ask(SESSIONS, ["taskmaster-listener"])
            assert direct not in pooler.ports
            wait_until(
                lambda: deaf.wrote("TASKMASTER_DATABASE_DIRECT_URL"),
                "the coordinator without NOTIFY logs it",
            )
            loud = {name: len(each.wrote(LOUD)) for name, each in site.programs.items()}
            assert loud == {"coordinator": 0, "worker": 0, "web": 0, "deaf": 2}, site.logs()


def submit_by_grpc(site: Site) -> None:
    """Submit like a client in another language, on Django's connections."""
    metadata = [("authorization", f"Token {site.token}")]
    with grpc.insecure_channel(f"127.0.0.1:{site.coordinator_port}") as channel:
        stub = rpc.TaskServiceStub(channel)
        for _ in range(8):
            request = pb.SubmitTaskRequest(name="shell", kwargs_json='{"command": "true"}')
            task_id = stub.SubmitTask(request, metadata=metadata, timeout=20).task_id
            shown = stub.GetTask(pb.GetTaskRequest(task_id=task_id), metadata=metadata, timeout=20)
            assert shown.name == "shell"


def check_starts_immediately(site: Site, server: Server) -> None:
    """Check that NOTIFY wakes an idle coordinator."""
    for _ in range(3):
        wait_until(
            lambda: server.ask("SELECT coordinator FROM taskmaster_tasks_idlecoordinator"),
            "one sleeps",
        )
        began = time.monotonic()
        task_id = site.post("/api/tasks/", {"command": "true"}).body["id"]
        until_status(server, task_id, "complete")
        assert time.monotonic() - began < IMMEDIATE_S


def check_cancels_immediately(site: Site, server: Server) -> None:
    """Check that the cancellation of a running task arrives; it travels only by NOTIFY."""
    task_id = site.post("/api/tasks/", {"command": "sleep 60"}).body["id"]
    until_status(server, task_id, "started")
    assert site.post(f"/api/tasks/{task_id}/cancel/", {}).status == 200
    worker = site.programs["worker"]
    wait_until(lambda: worker.wrote(f"attempt stopped task={task_id} "), "it stops", IMMEDIATE_S)


def until_status(server: Server, task_id: int, status: str) -> None:
    query = "SELECT status FROM taskmaster_tasks_task WHERE id = %s"
    wait_until(lambda: server.ask(query, task_id) == [status], f"task {task_id} is {status}")
