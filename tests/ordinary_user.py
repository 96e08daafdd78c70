"""Run programs of the tests as an ordinary user, when the tests run as root."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

#: No other process of the machine has this user.
UID = 64_321
ROOT = Path(__file__).resolve().parent.parent

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("setpriv", "unshare"))),
    reason="only root can start programs as another user, with setpriv and unshare",
)


def as_ordinary_user(*argv: str) -> list[str]:
    """Return a command that runs `argv` as this user. The pid stays.

    The interpreter may be below a folder that only root may enter, such as /root. The program then
    gets a mount namespace in which that folder contains nothing else.
    """
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *argv]
    needed = {Path(each).resolve() for each in (sys.base_prefix, sys.prefix, ROOT)}
    steps = [step for closed in _closed(needed) for step in _reveal(closed, needed)]
    if not steps:
        return drop
    script = "".join(f"{step} &&\n" for step in steps) + 'exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *drop]


def _closed(needed: set[Path]) -> set[Path]:
    """Return the topmost folders above the needed ones that only root may enter."""

    def above() -> Iterator[Path]:
        for path in needed:
            for folder in reversed(path.parents):
                if not folder.stat().st_mode & 0o001:
                    yield folder
                    break

    return set(above())


def _reveal(closed: Path, needed: set[Path]) -> list[str]:
    """Return the shell commands that replace the folder by one with only the needed folders."""
    inside = sorted(each for each in needed if each.is_relative_to(closed))
    kept = [(each, f"/mnt/{number}") for number, each in enumerate(inside)]
    return [
        "mount -t tmpfs -o mode=755 tmpfs /mnt",
        *(f"mkdir {place} && mount --bind '{path}' {place}" for path, place in kept),
        f"mount -t tmpfs -o mode=755 tmpfs '{closed}'",
        *(f"mkdir -p '{path}' && mount --move {place} '{path}'" for path, place in kept),
    ]
