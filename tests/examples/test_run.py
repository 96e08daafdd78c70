"""Run `make example` over a small tree, with real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_plugin import ROOT
from tests.system.fleet import environment

pytestmark = pytest.mark.django_db(transaction=True)


def example(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.run", str(folder)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_packs_every_file_and_verifies_its_digest(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for number in range(40):
        (tmp_path / "deep" / f"a name with spaces {number}.txt").write_bytes(
            bytes([number]) * 9_999
        )
    (tmp_path / "deep" / "er" / "line\nbreak.bin").write_bytes(b"\0")
    (tmp_path / "empty").touch()
    done = example(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No worker is online: this run starts" in done.stdout
    assert "All 42 digests match sha256sum." in done.stdout
    assert "40 txt" in done.stdout
    assert len(list((ROOT / ".data" / "example").rglob("*.gz"))) == 42
    assert "Traceback" not in done.stderr


def test_refuses_a_folder_without_files_with_one_line(tmp_path: Path) -> None:
    done = example(tmp_path / "nowhere")
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"{tmp_path / 'nowhere'} contains no files. Name a folder with files."
    )
