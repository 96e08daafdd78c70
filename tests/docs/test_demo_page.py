"""Test that the demo prints the output that its page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from tests.docs.reader import database
from tests.postgres_plugin import ROOT
from tests.taskmaster_site.demo.running_demo import Demo, shell_environment

DEMO = ROOT / "docs" / "demo.md"

pytestmark = pytest.mark.timeout(600)


def test_the_demo_prints_what_its_page_shows(tmp_path: Path, django_db_setup: None) -> None:
    [shown] = [each for each in blocks(DEMO) if each.note == "output of"]
    with database("taskmaster_test_docs_demo") as server:
        url = "postgresql://{user}:{password}@{host}:{port}/{name}".format(**server)
        started = Demo(
            shell_environment(DATABASE_URL=url, TASKMASTER_DATA_DIR=str(tmp_path / "data"))
        )
        try:
            started.wait_ready(150)
            [first] = [n for n, line in enumerate(started.lines) if line == "TaskMaster is ready:"]
            printed = "\n".join(started.lines[first:])
            password = started.printed_value("password")
            [grpc] = re.findall(r"gRPC +127\.0\.0\.1:(\d+)", printed)
            assert started.interrupt() == 0
        finally:
            started.discard()
    for mine, theirs in (
        (password, "5hQ0rW8dQzq1fQ2m"),
        (str(started.port), "8000"),
        (grpc, "8001"),
        (str(tmp_path / "data"), "/home/you/taskmaster/.data"),
    ):
        printed = printed.replace(mine, theirs)
    assert printed.startswith(shown.text.rstrip())
