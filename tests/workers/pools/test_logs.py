"""Test the logs of local workers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.pools import logs
from taskmaster.workers.pools.provider import LOG_LINES


def test_the_setting_names_the_folder(tmp_path: Path) -> None:
    assert logs.folder(str(tmp_path)) == tmp_path / "pools"


def test_without_a_setting_the_folder_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = logs.folder("")
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert logs.folder("") == folder
    folder.parent.rmdir()
    folder.parent.symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        logs.folder("")


def test_the_last_lines_are_read_and_a_missing_log_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "heron.log"
    assert logs.read_end(log) == ""
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(100)))
    lines = logs.read_end(log).splitlines()
    assert len(lines) == LOG_LINES
    assert lines[-1] == "line 99 \ufffd"


def test_a_long_log_is_cut_while_its_writer_continues(tmp_path: Path) -> None:
    log = tmp_path / "heron.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"x" * 2_000_000 + b"end")
    logs.trim(log)
    os.write(writer, b"next")
    os.close(writer)
    assert log.read_bytes() == b"next"
    assert (tmp_path / "heron.old.log").read_bytes().endswith(b"xend")
    logs.trim(log)
    assert log.read_bytes() == b"next"
    logs.trim(tmp_path / "missing.log")
