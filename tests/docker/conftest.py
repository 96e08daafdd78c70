"""Configure the tests that need a Docker engine; `make test-docker` runs them, `make test` does
not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.docker import images
from tests.docker.engine import NoEngine, running_engine

if not os.environ.get("TASKMASTER_TEST_DOCKER"):
    collect_ignore_glob = ["test_*.py"]

_why: list[str] = []


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """Return an environment in which `docker` finds an engine that has the images."""
    try:
        with running_engine() as environment:
            images.build(environment)
            yield environment
    except NoEngine as reason:
        _why.append(str(reason))
        pytest.skip(str(reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a visible line when the tests were skipped."""
    if _why:
        terminalreporter.section("NOT TESTED ON DOCKER", red=True, bold=True)
        terminalreporter.write_line(_why[0])
