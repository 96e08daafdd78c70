"""The location of the site's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskmaster.taskmaster_site import data
from tests.postgres_plugin import ROOT


def test_a_checkout_keeps_its_files_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKMASTER_DATA_DIR", raising=False)
    assert data.is_checkout()
    assert data.folder() == ROOT / ".data"
    assert data.command("demo") == "make demo"


def test_an_installed_package_keeps_its_files_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKMASTER_DATA_DIR", raising=False)
    monkeypatch.setattr(data, "_ROOT", tmp_path / "site-packages" / "taskmaster")
    monkeypatch.chdir(tmp_path)
    assert data.folder() == tmp_path / ".data"
    assert data.command("demo") == "python -m taskmaster demo"


def test_the_environment_selects_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMASTER_DATA_DIR", "files")
    assert data.folder() == Path.cwd() / "files"
