"""Test how tasks record their executions and how the records are read."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from chaos import ledger


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "worker-1.log"
    monkeypatch.setenv(ledger.VARIABLE, str(file))
    return file


def test_reads_an_execution_as_it_was_written(file: Path) -> None:
    before = time.time()
    with ledger.execution("k1", 2) as token:
        pass
    [read] = ledger.read(file.parent)
    assert (read.key, read.token, read.worker, read.attempt) == ("k1", token, "worker-1", 2)
    assert read.returned
    assert read.ended is not None
    assert before - 0.001 <= read.began <= read.ended <= time.time() + 0.001


def test_an_execution_that_raised_has_ended_but_not_returned(file: Path) -> None:
    with suppress(RuntimeError), ledger.execution("k1", 1):
        raise RuntimeError
    [read] = ledger.read(file.parent)
    assert read.ended is not None
    assert not read.returned


def test_a_killed_execution_has_not_ended(file: Path) -> None:
    script = ledger.shell("k1", "kill -9 $$")
    subprocess.run(["sh", "-c", script], check=False)
    [read] = ledger.read(file.parent)
    assert (read.ended, read.returned) == (None, False)


def test_a_shell_command_writes_the_same_lines(file: Path) -> None:
    before = time.time()
    subprocess.run(["sh", "-c", ledger.shell("k7", "sleep 0.1")], check=True)
    [read] = ledger.read(file.parent)
    assert (read.key, read.attempt, read.returned) == ("k7", None, True)
    assert read.ended is not None
    assert before <= read.began <= read.ended - 0.1


def test_each_execution_has_a_token_of_its_own(file: Path) -> None:
    tokens = set()
    for _ in range(100):
        with ledger.execution("k1", 1) as token:
            tokens.add(token)
    assert len(tokens) == len(ledger.read(file.parent)) == 100
