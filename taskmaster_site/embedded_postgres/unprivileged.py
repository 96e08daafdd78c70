"""Run PostgreSQL for root: select its user, and the folders that this user can reach.

PostgreSQL refuses to run as root. Root runs it as the user `nobody`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

from taskmaster.tasks.errors import ConfigurationError

#: The user that runs the server for root.
_USER = "nobody"
#: Location of that user's files if the user cannot enter the checkout.
REACHABLE = Path("/var/tmp")
_HOME_NAME = re.compile(r"taskmaster-[0-9a-f]{16}")
#: File in such a folder that names its home.
_RECORD = "home"


def as_user() -> dict[str, object]:
    """Return the arguments with which `subprocess.run` starts the server as a permitted user."""
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def give_to_server_user(path: Path) -> None:
    """Give a file or folder owned by root to the user that runs the server."""
    if os.geteuid() == 0:
        account = _account()
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def write_new(path: Path, text: str) -> None:
    """Write a private file and replace an existing one.

    The folder may belong to `nobody`, who could have placed a link there. Root must not follow it.
    """
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def real_home(home: Path) -> Path:
    """Return the folder for the server's files: `home` itself, or a folder that `home` links to.

    Creates the folder if needed. Raises ConfigurationError if it belongs to another user, or if
    `home` exists in a folder that only root may enter.
    """
    if os.geteuid() != 0 or is_enterable(home.parent):
        home.mkdir(mode=0o700, exist_ok=True)
        give_to_server_user(home)
        return home.resolve()
    name = hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]
    real = REACHABLE / f"taskmaster-{name}"
    real.mkdir(mode=0o700, exist_ok=True)
    require_owner(real, _account().pw_uid)
    give_to_server_user(real)
    if home.is_symlink():
        home.unlink()
    elif home.exists():
        # Leave data that an ordinary user created here to that user.
        raise ConfigurationError(
            f"{home} is in a folder that only root can enter, and PostgreSQL cannot run as root. "
            f"Move {home} away, or set DATABASE_URL."
        )
    home.symlink_to(real)
    return real


def record_home(home: Path) -> None:
    """Record the home of a folder in /var/tmp. Each start updates it, for example after a move."""
    if os.geteuid() == 0 and home.is_symlink():
        write_new(home.resolve() / _RECORD, f"{home.absolute()}\n")


def abandoned_homes() -> Iterator[tuple[Path, Path]]:
    """Yield the folders in /var/tmp whose recorded home does not exist, with that home.

    They are never deleted: the checkout may have been moved, or its disk may not be mounted.
    """
    if os.geteuid() != 0:
        return
    for folder in REACHABLE.glob("taskmaster-*"):
        if not _HOME_NAME.fullmatch(folder.name) or folder.is_symlink():
            continue
        with contextlib.suppress(OSError):
            home = Path((folder / _RECORD).read_text(errors="replace").strip())
            if home.is_absolute() and not os.path.lexists(home):
                yield folder, home


def require_owner(path: Path, owner: int) -> None:
    """Raise ConfigurationError unless this folder in /var/tmp belongs to root or to `owner`.

    Any user can create a folder there, even one with a name that TaskMaster uses.
    """
    found = path.lstat().st_uid
    if path.is_symlink() or found not in (0, owner):
        raise ConfigurationError(
            f"{path} belongs to another user (uid {found}) or is a link. Remove it."
        )


def is_enterable(folder: Path) -> bool:
    """Return whether other users may enter this folder and all its parents."""
    real = folder.resolve()
    return all(each.stat().st_mode & 0o001 for each in (real, *real.parents))


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL cannot run as root, and the user {_USER!r} that would run it does not "
            "exist. Start as an ordinary user, or set DATABASE_URL."
        ) from None
