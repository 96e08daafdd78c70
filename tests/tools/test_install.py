"""Test the installation by `make setup`, with the real pip and packages from a folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.postgres_plugin import ROOT


def wheel(folder: Path, name: str) -> str:
    """Create a package without content; return its line of a lock file."""
    path = folder / f"{name}-1-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/__init__.py", "")
        file.writestr(f"{name}-1.dist-info/METADATA", metadata)
        file.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.dist-info/RECORD", "")
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin" / "python"


def install(lock: Path, python: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", ROOT / "tools" / "install.py", lock, python],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_counts_and_installs_the_packages(tmp_path: Path, environment: Path) -> None:
    lock = tmp_path / "lock.txt"
    lines = [wheel(tmp_path, name) for name in ("first_sample", "second_sample")]
    lock.write_text(f"--no-index\n--find-links {tmp_path}\n{''.join(lines)}")
    done = install(lock, environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Installing 2 packages ({lock}); this usually takes about")
    subprocess.run([environment, "-c", "import first_sample, second_sample"], check=True)


def test_shows_an_error_of_pip_in_full(tmp_path: Path, environment: Path) -> None:
    lock = tmp_path / "lock.txt"
    wheel(tmp_path, "changed_sample")
    wrong = "0" * 64
    lock.write_text(
        f"--no-index\n--find-links {tmp_path}\nchanged_sample==1 --hash=sha256:{wrong}\n"
    )
    done = install(lock, environment)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert f"Expected sha256 {wrong}" in done.stderr
    assert "pip failed with exit code 1" in done.stderr
